"""What the property collector told, put together: VMs property by property, and tasks that have ended. Pure.

vSphere tells changes of single properties; this keeps the rest and says what a batch of changes means as inventory
events. It is begun anew after every reconnect, when everything is told again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from provider import guestinfo
from provider.podvm import (
    Appeared,
    InventoryEvent,
    Parent,
    ParentChanged,
    PodVM,
    PowerState,
    Vanished,
)

VM_PROPERTIES = (
    "name",
    "runtime.powerState",
    "runtime.instantCloneFrozen",
    "config.hardware.numCPU",
    "config.hardware.memoryMB",
    *(f'config.extraConfig["{key}"]' for key in guestinfo.WATCHED),
)
"""Leaf paths only: whole objects flood with what a guest's containers do, and some cannot be decoded."""

TASK_PROPERTIES = ("info.state", "info.error", "info.result")

_ENDED = ("success", "error")


@dataclass(frozen=True, slots=True)
class Change:
    """One object's changes. `gone` when it left the inventory."""

    moref: str
    kind: str  # VirtualMachine or Task
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
    """All VMs of a VCH's folder, its parent, and how recent tasks ended."""

    parent_moref: str
    _properties: dict[str, dict[str, Any]] = field(default_factory=dict)
    _told: dict[str, PodVM] = field(default_factory=dict)
    _parent: Parent | None = None
    _tasks: dict[str, dict[str, Any]] = field(default_factory=dict)

    def apply(self, changes: Iterable[Change]) -> list[InventoryEvent]:
        """The events that a batch of changes amounts to."""
        touched: dict[str, None] = {}
        events: list[InventoryEvent] = []
        for change in changes:
            if change.kind != "VirtualMachine":
                continue
            touched[change.moref] = None
            if change.gone:
                self._properties.pop(change.moref, None)
            else:
                self._properties.setdefault(change.moref, {}).update(change.properties)
        for moref in touched:
            events += self._parent_events() if moref == self.parent_moref else self._pod_vm_events(moref)
        return events

    def outcomes(self, changes: Iterable[Change]) -> Iterator[TaskOutcome]:
        """Tasks that are known to have ended by a batch of changes."""
        for change in changes:
            if change.kind != "Task":
                continue
            if change.gone:
                self._tasks.pop(change.moref, None)
                continue
            task = self._tasks.setdefault(change.moref, {})
            task.update(change.properties)
            if str(task.get("info.state")) in _ENDED:
                yield TaskOutcome(change.moref, task.get("info.result"), task.get("info.error"))

    def _parent_events(self) -> list[InventoryEvent]:
        properties = self._properties.get(self.parent_moref)
        parent = None if properties is None else _parent(self.parent_moref, properties)
        if parent == self._parent:
            return []
        self._parent = parent
        return [ParentChanged(parent)]

    def _pod_vm_events(self, moref: str) -> list[InventoryEvent]:
        before = self._told.pop(moref, None)
        properties = self._properties.get(moref)
        after = None if properties is None else _pod_vm(moref, properties)
        if after is None:
            return [] if before is None else [Vanished(before.identity.uid, moref)]
        self._told[moref] = after
        return [] if after == before else [Appeared(after)]


def _pod_vm(moref: str, properties: dict[str, Any]) -> PodVM | None:
    extra_config: dict[str, str] = {}
    for key in guestinfo.WATCHED:
        option = properties.get(f'config.extraConfig["{key}"]')
        value = getattr(option, "value", None)
        if isinstance(value, str):
            extra_config[key] = value
    return guestinfo.decode_pod_vm(moref, str(properties.get("name", "")), _power(properties), extra_config)


def _parent(moref: str, properties: dict[str, Any]) -> Parent:
    power = _power(properties)
    return Parent(
        moref=moref,
        name=str(properties.get("name", "")),
        power_state=power,
        # Unset is not frozen. A frozen VM that lost its power is none: it must boot to its freeze point again.
        frozen=bool(properties.get("runtime.instantCloneFrozen")) and power is PowerState.ON,
        cpus=int(properties.get("config.hardware.numCPU") or 0),
        memory_mib=int(properties.get("config.hardware.memoryMB") or 0),
    )


def _power(properties: dict[str, Any]) -> PowerState:
    return PowerState(str(properties.get("runtime.powerState", PowerState.OFF)))
