"""ParentVM objects: what an admin sees of a parent with `kubectl get pvm`. Pure; `parent_controller.mirror` writes
them.

They are a picture only. The provider decides by what vSphere shows; deleting or editing one changes nothing and is put
right again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from provider.api.conditions import ConditionStatus, ParentConditionType
from provider.api.fields import GROUP, VERSION
from provider.api.parent import KIND
from provider.node import timestamp
from provider.ownership import reference
from provider.parent_slots import Slot
from provider.parentvm import Host, ParentPhase, ParentVM

KubeObject = dict[str, Any]

VCH_LABEL = "vch.dev/vch"


def parent_object(
    vch: KubeObject, vm: ParentVM, slot: Slot | None, hosts: Mapping[str, Host], clones: int, now: datetime
) -> KubeObject:
    """The whole object with its status; `slot` is None if the VCH does not want it any more."""
    key = vm.marks.key
    host, own = hosts.get(vm.host), hosts.get(key.host)
    metadata = vch["metadata"]
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {
            "name": object_name(metadata["name"], vm),
            "labels": {VCH_LABEL: metadata["name"]},
            "ownerReferences": [reference(vch)],
        },
        "spec": {
            "vch": metadata["name"],
            "host": key.host,
            "class": key.vm_class,
            "image": key.image,
            "namespace": key.namespace,
        },
        "status": {
            "moref": vm.moref,
            "vmName": vm.name,
            "hostName": host.name if host else vm.host,
            "powerState": vm.power_state.value,
            "frozen": vm.frozen,
            "clones": clones,
            "conditions": conditions(vm, slot, own, now),
        },
    }


def object_name(vch: str, vm: ParentVM) -> str:
    return f"{vch}-{vm.marks.parent_id[:12]}"


def conditions(vm: ParentVM, slot: Slot | None, host: Host | None, now: datetime) -> list[KubeObject]:
    """Provisioned, Prepared, Frozen and Ready, which is all of them and that it is what the VCH wants."""
    reached = [_provisioned(vm), _prepared(vm), _frozen(vm)]
    return [_object(each, now) for each in (*reached, _ready(vm, slot, host, reached, now))]


@dataclass(frozen=True, slots=True)
class _Condition:
    type: ParentConditionType
    true: bool
    reason: str
    message: str = ""


def _provisioned(vm: ParentVM) -> _Condition:
    return _Condition(ParentConditionType.PROVISIONED, True, "VirtualMachineExists", f"{vm.name} ({vm.moref})")


def _prepared(vm: ParentVM) -> _Condition:
    kind, report = ParentConditionType.PREPARED, vm.report
    if vm.frozen or (report is not None and report.phase is ParentPhase.WARM):
        return _Condition(kind, True, "Warm", report.message if report else "")
    if report is None:
        return _Condition(kind, False, "Booting", "its agent has not reported yet")
    return _Condition(kind, False, report.phase.value, report.message)


def _frozen(vm: ParentVM) -> _Condition:
    kind = ParentConditionType.FROZEN
    if vm.frozen:
        return _Condition(kind, True, "AtFreezePoint")
    return _Condition(kind, False, "NotFrozen", f"it is {vm.power_state.value} and not at its freeze point")


def _ready(
    vm: ParentVM, slot: Slot | None, host: Host | None, reached: Sequence[_Condition], now: datetime
) -> _Condition:
    def no(reason: str, message: str) -> _Condition:
        return _Condition(ParentConditionType.READY, False, reason, message)

    missing = next((each for each in reached if not each.true), None)
    if slot is None:
        return no("NotWanted", "the VCH does not want it any more")
    if missing is not None:
        return no("NotPrepared", f"{missing.type.value}: {missing.message}")
    if host is None or not host.usable:
        return no("HostNotUsable", "its host is not connected, or in maintenance")
    if vm.host != vm.marks.key.host:
        return no("Moved", "it is on another host than it was made on")
    if vm.marks.digest != slot.digest:
        return no("Outdated", "its class, its image or the VCH's settings have changed")
    if slot.too_old(vm.marks, now.timestamp()):
        return no("Outdated", f"it is older than spec.parents.maxAgeSeconds ({slot.max_age:.0f})")
    return _Condition(ParentConditionType.READY, True, "CanBeCloned")


def _object(condition: _Condition, now: datetime) -> KubeObject:
    return {
        "type": condition.type.value,
        "status": (ConditionStatus.TRUE if condition.true else ConditionStatus.FALSE).value,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": timestamp(now),
    }


def merged(old: KubeObject | None, new: KubeObject) -> KubeObject:
    """`new` with the transition times of `old` where the status is the same (API conventions)."""
    known = {each["type"]: each for each in ((old or {}).get("status") or {}).get("conditions") or ()}
    for each in new["status"]["conditions"]:
        before = known.get(each["type"])
        if before is not None and before["status"] == each["status"]:
            each["lastTransitionTime"] = before["lastTransitionTime"]
    return new


def same(old: KubeObject | None, new: KubeObject) -> bool:
    """Whether writing would change nothing."""
    return old is not None and old.get("spec") == new["spec"] and old.get("status") == new["status"]
