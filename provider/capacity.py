"""What the virtual node offers, and whether a Pod still fits: the Node's capacity and allocatable, and admission. Pure.

The capacity is the lowest of the limits that are set, the VCH's and its resource pool's; where none is, what the hosts
have. Allocatable is less what is not to be had for Pods: the parents' memory, the overhead of each VM, and what VMs of
Pods hold that have ended (the scheduler does not count these any more).

Admission follows the kubelet (pkg/kubelet/lifecycle `predicateAdmitHandler`, `InsufficientResourceError`): the
scheduler has looked already, so it only catches Pods that were bound past it, and races. Reasons and words are the
kubelet's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from provider.errors import OutOfResource
from provider.parentvm import Host, ResourcePool


@dataclass(frozen=True, slots=True)
class Resources:
    """CPU in thousandths of a core, memory in bytes, Pods."""

    cpu_millis: int = 0
    memory_bytes: int = 0
    pods: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(
            self.cpu_millis + other.cpu_millis, self.memory_bytes + other.memory_bytes, self.pods + other.pods
        )

    def less(self, other: "Resources") -> "Resources":
        """Never below zero."""
        return Resources(
            max(0, self.cpu_millis - other.cpu_millis),
            max(0, self.memory_bytes - other.memory_bytes),
            max(0, self.pods - other.pods),
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """The VCH's own; None: not set."""

    cpu_millis: int | None
    memory_bytes: int | None
    pods: int


def capacity(limits: Limits, pool: ResourcePool | None, hosts: Mapping[str, Host], addresses: int) -> Resources:
    """The Node's capacity. `addresses`: how many Pods can have one."""
    usable = [host for host in hosts.values() if host.usable]
    mhz_per_core = min((host.cpu_mhz / max(host.cpu_cores, 1) for host in usable), default=0.0)
    pool_cpu = None
    if pool is not None and pool.cpu_mhz_limit is not None and mhz_per_core:
        pool_cpu = int(pool.cpu_mhz_limit * 1000 / mhz_per_core)
    return Resources(
        cpu_millis=_lowest(limits.cpu_millis, pool_cpu, of_hosts=sum(host.cpu_cores for host in usable) * 1000),
        memory_bytes=_lowest(
            limits.memory_bytes,
            pool.memory_bytes_limit if pool else None,
            of_hosts=sum(host.memory_bytes for host in usable),
        ),
        pods=min(limits.pods, addresses),
    )


def allocatable(whole: Resources, *, parents: Resources, overhead: Resources, ended: Resources) -> Resources:
    """Of the capacity, what Pods can have."""
    return whole.less(parents + overhead + ended)


def admit(wanted: Resources, used: Iterable[Resources], available: Resources) -> None:
    """Raises OutOfResource if a Pod does not fit beside those that are admitted (terminating ones too)."""
    sum_used = sum(used, Resources())
    for resource, asked, taken, offered in (
        ("pods", 1, sum_used.pods, available.pods),
        ("cpu", wanted.cpu_millis, sum_used.cpu_millis, available.cpu_millis),
        ("memory", wanted.memory_bytes, sum_used.memory_bytes, available.memory_bytes),
    ):
        if asked and taken + asked > offered:
            raise OutOfResource(resource, asked, taken, offered)


def _lowest(*limits: int | None, of_hosts: int) -> int:
    return min((limit for limit in limits if limit is not None), default=of_hosts)
