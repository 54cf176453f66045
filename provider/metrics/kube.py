"""Requests to the API server, under client-go's names, so that dashboards made for controllers show them.

Ours only: kopf's watches have connections of their own. `host` is the API server's host:port; a watch's duration is
that to its answer's head.
"""

from provider.metrics.families import FROM_MILLISECONDS, counter, histogram

REQUESTS = counter(
    "rest_client_requests_total",
    "HTTP requests to the API server, by status code; <error> where none came back.",
    *("code", "method", "host"),
)
DURATIONS = histogram(
    "rest_client_request_duration_seconds",
    "Seconds from a request to the API server to its answer's head.",
    FROM_MILLISECONDS,
    *("verb", "host"),
)


def answered(method: str, host: str, code: str, seconds: float) -> None:
    """A request has been answered, or has failed."""
    REQUESTS.labels(code, method, host).inc()
    DURATIONS.labels(method, host).observe(seconds)
