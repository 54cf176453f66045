"""What the property collector told, put together: VMs, hosts and the pool property by property, and ended tasks. Pure.

vSphere tells changes of single properties; this keeps the rest and says what a batch of changes means as inventory
events. It is begun anew after every reconnect, when everything is told again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from provider import guestinfo
from provider.parentvm import (
    Host,
    HostChanged,
    HostVanished,
    ParentAppeared,
    ParentVanished,
    ParentVM,
    PoolChanged,
    ResourcePool,
)
from provider.podvm import Appeared, InventoryEvent, PodVM, Vanished
from provider.power import PowerState
from provider.vsphere.faults import moref

VM = "VirtualMachine"
HOST = "HostSystem"
POOL = "ResourcePool"
TASK = "Task"

PROPERTIES: Mapping[str, tuple[str, ...]] = {
    VM: (
        "name",
        "runtime.powerState",
        "runtime.connectionState",
        "runtime.instantCloneFrozen",
        "runtime.host",
        "config.changeVersion",
        "config.hardware.numCPU",
        "config.hardware.memoryMB",
        *(f'config.extraConfig["{key}"]' for key in guestinfo.WATCHED),
    ),
    HOST: (
        "name",
        "runtime.connectionState",
        "runtime.inMaintenanceMode",
        "summary.hardware.cpuMhz",
        "summary.hardware.numCpuCores",
        "summary.hardware.memorySize",
        "summary.quickStats.overallCpuUsage",
        "summary.quickStats.overallMemoryUsage",
    ),
    POOL: ("name", "config.cpuAllocation.limit", "config.memoryAllocation.limit"),
    TASK: ("info.state", "info.error", "info.result"),
}
"""Leaf paths only: whole objects flood with what a guest's containers do, and some cannot be decoded."""

_MIB = 2**20
_ENDED = ("success", "error")


@dataclass(frozen=True, slots=True)
class Change:
    """One object's changes. `gone` when it left the inventory."""

    moref: str
    kind: str  # a key of PROPERTIES
    properties: dict[str, Any]
    gone: bool = False


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """How a task ended: a result, or a fault."""

    moref: str
    result: Any
    fault: Any


@dataclass(slots=True)
class Picture:
    """All VMs of a VCH's folder, its hosts and pool, and how recent tasks ended."""

    hosts: tuple[str, ...] = ()  # the ones that count; empty: all
    _properties: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _told: dict[tuple[str, str], PodVM | ParentVM | Host | ResourcePool] = field(default_factory=dict)
    _tasks: dict[str, dict[str, Any]] = field(default_factory=dict)

    def apply(self, changes: Iterable[Change]) -> list[InventoryEvent]:
        """The events that a batch of changes amounts to."""
        touched: dict[tuple[str, str], None] = {}
        for change in changes:
            if change.kind == TASK or (change.kind == HOST and self.hosts and change.moref not in self.hosts):
                continue
            key = (change.kind, change.moref)
            touched[key] = None
            if change.gone:
                self._properties.pop(key, None)
            else:
                self._properties.setdefault(key, {}).update(change.properties)
        return [event for key in touched for event in self._events(*key)]

    def outcomes(self, changes: Iterable[Change]) -> Iterator[TaskOutcome]:
        """Tasks that are known to have ended by a batch of changes."""
        for change in changes:
            if change.kind != TASK:
                continue
            if change.gone:
                self._tasks.pop(change.moref, None)
                continue
            task = self._tasks.setdefault(change.moref, {})
            task.update(change.properties)
            if str(task.get("info.state")) in _ENDED:
                yield TaskOutcome(change.moref, task.get("info.result"), task.get("info.error"))

    def _events(self, kind: str, moref: str) -> Iterator[InventoryEvent]:
        before = self._told.pop((kind, moref), None)
        properties = self._properties.get((kind, moref))
        after = None if properties is None else _READ[kind](moref, properties)
        if after is not None:
            self._told[kind, moref] = after
        if after == before:
            return
        if before is not None and type(after) is not type(before):
            yield _gone(before)
        if after is not None:
            yield _appeared(after)


def _gone(thing: PodVM | ParentVM | Host | ResourcePool) -> InventoryEvent:
    match thing:
        case PodVM():
            return Vanished(thing.identity.uid, thing.moref)
        case ParentVM():
            return ParentVanished(thing.moref)
        case Host():
            return HostVanished(thing.moref)
        case ResourcePool():
            # Nothing can be made in it any more, until the placement is resolved to another one.
            return PoolChanged(ResourcePool(thing.moref, thing.name, 0, 0))


def _appeared(thing: PodVM | ParentVM | Host | ResourcePool) -> InventoryEvent:
    match thing:
        case PodVM():
            return Appeared(thing)
        case ParentVM():
            return ParentAppeared(thing)
        case Host():
            return HostChanged(thing)
        case ResourcePool():
            return PoolChanged(thing)


def _vm(at: str, properties: dict[str, Any]) -> PodVM | ParentVM | None:
    extra_config: dict[str, str] = {}
    for key in guestinfo.WATCHED:
        value = getattr(properties.get(f'config.extraConfig["{key}"]'), "value", None)
        if isinstance(value, str):
            extra_config[key] = value
    name = str(properties.get("name", ""))
    power = PowerState(str(properties.get("runtime.powerState", PowerState.OFF)))
    host = moref(properties.get("runtime.host"))
    parent = guestinfo.decode_parent(
        at,
        name,
        power,
        extra_config,
        # Unset is not frozen. A frozen VM that lost its power is none: it must boot to its freeze point again.
        frozen=bool(properties.get("runtime.instantCloneFrozen")) and power is PowerState.ON,
        host=host,
        cpus=_int(properties, "config.hardware.numCPU"),
        memory_mib=_int(properties, "config.hardware.memoryMB"),
    )
    if parent is not None:
        return parent
    change_version = str(properties.get("config.changeVersion") or "")
    connected = str(properties.get("runtime.connectionState") or "connected") != "disconnected"
    return guestinfo.decode_pod_vm(
        at, name, power, extra_config, host=host, connected=connected, change_version=change_version
    )


def _host(at: str, properties: dict[str, Any]) -> Host:
    cores = _int(properties, "summary.hardware.numCpuCores")
    return Host(
        moref=at,
        name=str(properties.get("name", "")),
        connected=str(properties.get("runtime.connectionState")) == "connected",
        maintenance=bool(properties.get("runtime.inMaintenanceMode")),
        cpu_mhz=_int(properties, "summary.hardware.cpuMhz") * cores,
        cpu_mhz_used=_int(properties, "summary.quickStats.overallCpuUsage"),
        cpu_cores=cores,
        memory_bytes=_int(properties, "summary.hardware.memorySize"),
        memory_used_bytes=_int(properties, "summary.quickStats.overallMemoryUsage") * _MIB,
    )


def _pool(at: str, properties: dict[str, Any]) -> ResourcePool:
    cpu = properties.get("config.cpuAllocation.limit")
    memory = properties.get("config.memoryAllocation.limit")
    return ResourcePool(
        moref=at,
        name=str(properties.get("name", "")),
        # "If set to -1, then there is no fixed limit" (ResourceAllocationInfo).
        cpu_mhz_limit=None if cpu is None or cpu < 0 else int(cpu),
        memory_bytes_limit=None if memory is None or memory < 0 else int(memory) * _MIB,
    )


_READ: Mapping[str, Any] = {VM: _vm, HOST: _host, POOL: _pool}


def _int(properties: dict[str, Any], path: str) -> int:
    return int(properties.get(path) or 0)
