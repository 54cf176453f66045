"""The kubelet API of the virtual nodes: requests, and what flows through exec, attach, port-forward and logs."""

import contextlib
from collections.abc import Callable, Iterator

from provider.metrics.families import FROM_MILLISECONDS, counter, gauge, histogram

KINDS = {"exec": "exec", "attach": "attach", "portForward": "port_forward", "containerLogs": "logs"}
"""Kinds of streams by endpoint."""

REQUESTS = counter(
    "vch_kubelet_api_requests_total",
    "Requests to the kubelet API; endpoint is `other` for what is not served.",
    *("vch", "endpoint", "method", "code"),
)
DURATIONS = histogram(
    "vch_kubelet_api_request_duration_seconds",
    "Seconds from a request to the kubelet API to the end of its answer; that of a stream is as long as it lasts.",
    FROM_MILLISECONDS,
    *("vch", "endpoint"),
)
STREAMS = gauge("vch_streams_in_flight", "Streams between clients and guests.", "vch", "kind")
BYTES = counter(
    "vch_stream_bytes_total",
    "Bytes of streams, to the guest (in) and to the client (out).",
    *("vch", "kind", "direction"),
)

Flow = Callable[[int], None]
"""Told of so many bytes."""


def answered(vch: str, endpoint: str, method: str, code: int, seconds: float) -> None:
    """A request has been answered. Methods are those that HTTP knows: a client's inventions make no series."""
    known = method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
    REQUESTS.labels(vch, endpoint, known, str(code)).inc()
    DURATIONS.labels(vch, endpoint).observe(seconds)


@contextlib.contextmanager
def stream(vch: str, endpoint: str) -> Iterator[tuple[Flow, Flow]]:
    """A stream; what is told of bytes to the guest, and of those to the client."""
    kind = KINDS[endpoint]
    in_flight = STREAMS.labels(vch, kind)
    in_flight.inc()
    try:
        yield BYTES.labels(vch, kind, "in").inc, BYTES.labels(vch, kind, "out").inc
    finally:
        in_flight.dec()
