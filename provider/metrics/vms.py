"""How VMs come and go: instant clones, standby clones that were there or not, VMs without a Pod, and the brakes."""

import contextlib
from collections.abc import Iterator

from provider.clock import Clock
from provider.metrics.families import ERROR, FROM_TENTHS, SUCCESS, counter, histogram

CLONES = histogram(
    "vch_instant_clone_duration_seconds",
    "Seconds from asking vCenter for an instant clone of a parent to the end of its task.",
    (0.05, *FROM_TENTHS),
    *("vch", "class", "result"),
)
STANDBY = counter(
    "vch_standby_total", "Pods that a standby clone was there for (hit), or should have been (miss).", "vch", "result"
)
DANGLING_DESTROYED = counter(
    "vch_dangling_virtual_machines_destroyed_total", "Pod VMs without a Pod that were destroyed.", "vch"
)
BRAKES = counter(
    "vch_mass_destroy_brakes_total",
    "Times that ending many Pods or VMs at once was put off, because that looked like a mistake.",
    "vch",
)


@contextlib.contextmanager
def cloning(vch: str, vm_class: str, clock: Clock) -> Iterator[None]:
    """An instant clone is being made."""
    began, result = clock.monotonic(), ERROR
    try:
        yield
        result = SUCCESS
    finally:
        CLONES.labels(vch, vm_class, result).observe(clock.monotonic() - began)
