"""The process: its build, the lag of its event loop, and the server that Prometheus scrapes."""

import asyncio
import platform
from collections.abc import Callable
from typing import Any

from prometheus_client import REGISTRY, start_http_server

from provider import __version__
from provider.metrics.families import gauge, histogram
from provider.metrics.state import StateCollector

BUILD = gauge("vch_build_info", "Always 1: what this process was built from.", "version", "revision", "python_version")
LAG = histogram(
    "vch_event_loop_lag_seconds",
    "Seconds by which the event loop woke up late from a wait of a second.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_EVERY = 1.0


def built(revision: str) -> None:
    """What runs here."""
    BUILD.labels(__version__, revision or "unknown", platform.python_version()).set(1)


async def measure_lag() -> None:
    """Until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _EVERY
        await asyncio.sleep(_EVERY)
        LAG.observe(max(0.0, loop.time() - due))


def serve(address: str, state: StateCollector) -> Callable[[], None]:
    """Serve /metrics at host:port in a thread; returns what ends it."""
    REGISTRY.register(state)
    host, _, port = address.rpartition(":")
    server: Any
    server, _thread = start_http_server(int(port), addr=host or "127.0.0.1")

    def stop() -> None:
        server.shutdown()
        server.server_close()
        REGISTRY.unregister(state)

    return stop
