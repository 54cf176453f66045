"""Calls to vCenter by method and fault, logins, tasks, and when vCenter last said something. Of threads, too.

The label `server` is as the VCH's spec has it. Series of a vCenter go with the last virtual node on it (`state`).
"""

import contextlib
import time
from collections.abc import Iterator

from provider.metrics.families import ERROR, FROM_MILLISECONDS, SUCCESS, counter, forget, gauge, histogram

REQUESTS = counter(
    "vch_vcenter_requests_total", "Calls to vCenter; fault is empty where none came back.", "server", "method", "fault"
)
DURATIONS = histogram(
    "vch_vcenter_request_duration_seconds",
    "Seconds that calls to vCenter took; WaitForUpdatesEx waits on purpose.",
    FROM_MILLISECONDS,
    *("server", "method"),
)
LOGINS = counter("vch_vcenter_logins_total", "Logins at vCenter.", "server", "result")
TASKS = gauge("vch_vcenter_tasks_in_flight", "Tasks of vCenter that are waited for.", "server", "operation")
LAST_UPDATE = gauge(
    "vch_vcenter_last_update_timestamp_seconds",
    "When vCenter last answered a wait for updates, be it that there are none (it does so at least every 30 s).",
    "server",
)


def called(server: str, method: str, seconds: float, fault: str) -> None:
    """A call has ended; `fault` is the fault's type, empty for success."""
    REQUESTS.labels(server, method, fault.rpartition(".")[2]).inc()
    DURATIONS.labels(server, method).observe(seconds)
    if method == "Login":
        LOGINS.labels(server, ERROR if fault else SUCCESS).inc()


@contextlib.contextmanager
def task(server: str, operation: str) -> Iterator[None]:
    """A task is asked for and waited for."""
    in_flight = TASKS.labels(server, operation)
    in_flight.inc()
    try:
        yield
    finally:
        in_flight.dec()


def updated(server: str) -> None:
    """vCenter has answered a wait for updates."""
    LAST_UPDATE.labels(server).set(time.time())


def gone(server: str) -> None:
    """No virtual node of this replica stands on that vCenter any more."""
    forget("server", server)
