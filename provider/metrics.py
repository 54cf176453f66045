"""What is counted for Prometheus about Pods, their VMs and Leases; calls to vCenter are counted in `vsphere.metrics`.

Buckets span a warm clone on idle hardware (tenths of a second) to an emulated guest on a busy machine (minutes).
"""

from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from provider.clock import Clock

POD_START = Histogram(
    "vch_pod_start_stage_seconds",
    "Seconds from a Pod being seen to each stage of its start",
    ["stage"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300),
)
STEP_FAILURES = Counter("vch_step_failures_total", "Steps of a pod VM's life that failed", ["step", "reason"])
POD_VMS = Gauge("vch_pod_vms", "Pod VMs in the inventory", ["node"])
PARENTS = Gauge("vch_parents", "Parents that the VCH wants, and those that can be cloned", ["node", "state"])
STANDBY_CLONES = Gauge(
    "vch_standby_clones", "Standby clones that the VCH wants, and those that a Pod could get now", ["node", "state"]
)
STANDBY = Counter(
    "vch_standby_total", "Pods that a standby clone was there for (hit), or was not (miss)", ["node", "result"]
)
DANGLING = Counter("vch_dangling_vms_destroyed_total", "Pod VMs without a Pod that were destroyed", ["node"])
LEASES_HELD = Gauge(
    "vch_leases_held", "Whether this replica holds the Lease of a virtual node (1) or not (0)", ["node"]
)
LEASE_TRANSITIONS = Counter(
    "vch_lease_transitions_total",
    "Changes of a Lease at this replica: acquired, released, lost, failed",
    ["node", "to"],
)
BRAKES = Counter("vch_mass_destroy_brakes_total", "Times that destroying many VMs at once was put off", ["node"])

HEARTBEATS_WITHHELD = Counter(
    "vch_node_heartbeats_withheld_total", "Heartbeats that were left out because nobody looked after the Pods", ["node"]
)


class Stages:
    """When one Pod's start got how far; each stage counts once, and only for a VM that was cloned by this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = clock.monotonic()
        self._begun: float | None = None
        self._reached: set[str] = set()

    def begin(self) -> None:
        """A clone is asked for, now or again."""
        self._begun = self._clock.monotonic()
        self.reached("clone_sent")

    def reached(self, stage: str) -> float | None:
        """Seconds since the clone was asked for; None if that is known already or no clone was."""
        if self._begun is None or stage in self._reached:
            return None
        self._reached.add(stage)
        now = self._clock.monotonic()
        POD_START.labels(stage=stage).observe(now - self._seen)
        return now - self._begun


def serve(address: str) -> Callable[[], None]:
    """Serve /metrics at host:port in a thread; returns what ends it."""
    host, _, port = address.rpartition(":")
    server: Any
    server, _thread = start_http_server(int(port), addr=host or "127.0.0.1")

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop
