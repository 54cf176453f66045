"""A PodVMImage's status: what is in its guests, and whether parents can be made of it. Pure;
`parent_controller.image_mirror` writes it.

An image may be used by several VCHs, each of which can see something else in its own vCenter. There is one status: the
virtual node that has seen a change last has written it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from provider.api.conditions import ConditionStatus, ImageConditionType
from provider.errors import ProviderError
from provider.node import timestamp
from provider.parent_slots import Slot
from provider.parentvm import GuestFacts, ParentPhase, ParentVM

KubeObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a virtual node knows of an image that it uses."""

    generation: int
    fork: bool
    error: ProviderError | None = None  # why no parent can be made of it
    guest: GuestFacts | None = None  # as a parent that was prepared reports them


def guest_of(parents: Iterable[tuple[ParentVM, Slot | None]]) -> GuestFacts | None:
    """What an image's parents say is in it; one that is as its slot wants it is believed first."""
    warm = [
        (slot is None or slot.digest != vm.marks.digest, vm.report.guest)
        for vm, slot in parents
        if vm.report is not None and vm.report.phase is ParentPhase.WARM
    ]
    return min(warm, key=lambda each: each[0])[1] if warm else None


def image_status(facts: ImageFacts, now: datetime) -> KubeObject:
    """The whole status."""
    guest = facts.guest
    if facts.error is not None:
        ready = (ConditionStatus.FALSE, facts.error.reason, str(facts.error))
    elif guest is None:
        ready = (ConditionStatus.UNKNOWN, "NotPrepared", "no parent has been made of it yet")
    else:
        ready = (ConditionStatus.TRUE, "Prepared", "parents are made of it")
    status: KubeObject = {
        "observedGeneration": facts.generation,
        "conditions": [
            {
                "type": ImageConditionType.READY.value,
                "status": ready[0].value,
                "reason": ready[1],
                "message": ready[2],
                "lastTransitionTime": timestamp(now),
                "observedGeneration": facts.generation,
            }
        ],
    }
    if guest is None:
        return status
    texts = {
        "osImage": guest.os_image,
        "kernelVersion": guest.kernel_version,
        "kubeletVersion": guest.kubelet_version,
        "containerRuntimeVersion": guest.container_runtime_version,
        "agentVersion": guest.agent_version,
    }
    status |= {name: text for name, text in texts.items() if text}
    status["images"] = len(guest.images)
    if facts.fork:
        status["sharesMemory"] = guest.shares_memory
    return status


def merged(old: KubeObject | None, new: KubeObject) -> KubeObject:
    """`new`, dated as `old` where nothing has changed since; of the same spec nothing is forgotten that was known."""
    was, now = _ready(old or {}), _ready(new)
    if not was:
        return new
    if now["status"] == ConditionStatus.UNKNOWN.value and was.get("observedGeneration") == now["observedGeneration"]:
        return old or {}
    since = was["lastTransitionTime"] if was["status"] == now["status"] else now["lastTransitionTime"]
    return {**new, "conditions": [{**now, "lastTransitionTime": since}]}


def _ready(status: KubeObject) -> KubeObject:
    return next((each for each in status.get("conditions") or () if each["type"] == ImageConditionType.READY), {})
