"""Counts and durations of calls to vCenter, by method and fault. Names as in the product's metric list."""

from prometheus_client import Counter, Histogram

_REQUESTS = Counter("vch_vcenter_requests", "Calls to vCenter.", ["server", "method", "fault"])
_DURATION = Histogram(
    "vch_vcenter_request_duration_seconds",
    "Duration of calls to vCenter; WaitForUpdatesEx waits on purpose.",
    ["server", "method"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)


def observe(server: str, method: str, seconds: float, fault: str) -> None:
    """One call that has ended; `fault` is the fault's type, empty for success."""
    _REQUESTS.labels(server, method, fault.rpartition(".")[2]).inc()
    _DURATION.labels(server, method).observe(seconds)
