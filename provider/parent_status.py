"""ParentVM objects: what an admin sees of a parent with `kubectl get pvm`. Pure; `parent_controller.mirror` writes
them.

They are a picture only. The provider decides by what vSphere shows; deleting or editing one changes nothing and is put
right again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from provider.api.fields import GROUP, VERSION
from provider.node import timestamp
from provider.ownership import reference
from provider.parent_slots import Slot
from provider.parentvm import Host, ParentPhase, ParentVM
from provider.podvm import PowerState

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
        "kind": "ParentVM",
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
    report = vm.report
    prepared = report is not None and report.phase is ParentPhase.WARM
    steps: Sequence[tuple[str, bool, str, str]] = (
        ("Provisioned", True, "VirtualMachineExists", f"{vm.name} ({vm.moref})"),
        (
            "Prepared",
            prepared or vm.frozen,
            "Warm" if prepared or vm.frozen else report.phase.value if report else "Booting",
            (report.message if report else "") or ("" if prepared or vm.frozen else "its agent has not reported yet"),
        ),
        (
            "Frozen",
            vm.frozen,
            "AtFreezePoint" if vm.frozen else "NotFrozen",
            "" if vm.frozen else f"it is {vm.power_state.value} and not at its freeze point",
        ),
    )
    missing = next((f"{kind}: {message}" for kind, true, _, message in steps if not true), "")
    ready, reason, message = True, "CanBeCloned", ""
    if slot is None:
        ready, reason, message = False, "NotWanted", "the VCH does not want it any more"
    elif missing or vm.power_state is not PowerState.ON:
        ready, reason, message = False, "NotPrepared", missing
    elif host is None or not host.usable:
        ready, reason, message = False, "HostNotUsable", "its host is not connected, or in maintenance"
    elif vm.host != vm.marks.key.host:
        ready, reason, message = False, "Moved", "it is on another host than it was made on"
    elif vm.marks.digest != slot.digest:
        ready, reason, message = False, "Outdated", "its class, its image or the VCH's settings have changed"
    elif slot.too_old(vm.marks, now.timestamp()):
        ready, reason, message = False, "Outdated", f"it is older than spec.parents.maxAgeSeconds ({slot.max_age:.0f})"
    return [
        {
            "type": kind,
            "status": "True" if true else "False",
            "reason": why,
            "message": text,
            "lastTransitionTime": timestamp(now),
        }
        for kind, true, why, text in (*steps, ("Ready", ready, reason, message))
    ]


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
