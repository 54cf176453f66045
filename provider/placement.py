"""Which parent a Pod's VM is cloned from. Choosing the parent is choosing the host: a clone lands beside it. Pure.

Hosts are compared by what a clone would leave free of memory and of CPU, whichever is scarcer. vSphere's own figures
are up to a minute old, so VMs of ours count with their whole size as soon as they are asked for: that also spreads a
burst of Pods. A host that has just refused for lack of resources is avoided for a while.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from provider.errors import NoParentReady
from provider.parentvm import Host, ParentVM

AVOID_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Load:
    """What our VMs, those that are being cloned among them, could use of each host at most."""

    memory_bytes: Counter[str] = field(default_factory=Counter)
    cpus: Counter[str] = field(default_factory=Counter)

    def add(self, host: str, memory_bytes: int, cpus: int) -> None:
        self.memory_bytes[host] += memory_bytes
        self.cpus[host] += cpus


def choose(
    parents: Sequence[ParentVM],
    hosts: Mapping[str, Host],
    load: Load,
    avoided: Mapping[str, float],
    now: float,
    waiting_for: str = "",
) -> ParentVM:
    """The best of the ready parents of one image and class. `avoided`: instants up to which hosts are left alone.

    Raises NoParentReady, which says what there is instead (`waiting_for`).
    """
    on_usable = [vm for vm in parents if vm.host in hosts and hosts[vm.host].usable]
    free = [vm for vm in on_usable if avoided.get(vm.host, 0.0) <= now]
    if not on_usable:
        raise NoParentReady(waiting_for or "no parent is ready on a usable host")
    if not free:
        names = ", ".join(sorted(hosts[vm.host].name for vm in on_usable))
        raise NoParentReady(f"every host with a ready parent has refused a clone within the last minute: {names}")
    return max(free, key=lambda vm: (_left(hosts[vm.host], vm, load), vm.moref))


def _left(host: Host, parent: ParentVM, load: Load) -> float:
    """The scarcer of memory and CPU that a clone would leave, as a share of the host; below zero when overcommitted."""
    memory = max(host.memory_used_bytes, load.memory_bytes[host.moref]) + parent.memory_mib * 2**20
    per_core = host.cpu_mhz / max(host.cpu_cores, 1)
    cpu = max(host.cpu_mhz_used, load.cpus[host.moref] * per_core) + parent.cpus * per_core
    return min(1 - memory / max(host.memory_bytes, 1), 1 - cpu / max(host.cpu_mhz, 1))
