"""The life of a pod VM: `facts` → `decision` → one of the `steps`. Pure; taking them is `pod_controller`'s business."""

from provider.lifecycle.decision import (
    APPEARS_WITHIN,
    DELETE_AGAIN,
    GUEST_DELETES_WITHIN,
    LOST_HOST_SETTLES,
    OFF_SETTLES,
    STUCK_AFTER_GRACE,
    UNREACHABLE_AFTER_GRACE,
    next_step,
)
from provider.lifecycle.facts import Facts, Link, PodFacts
from provider.lifecycle.steps import (
    Clone,
    Discard,
    Finish,
    Forget,
    Hold,
    Lose,
    Pin,
    Refuse,
    Replace,
    Serve,
    Step,
    Wait,
)

__all__ = [
    "APPEARS_WITHIN",
    "DELETE_AGAIN",
    "GUEST_DELETES_WITHIN",
    "LOST_HOST_SETTLES",
    "OFF_SETTLES",
    "STUCK_AFTER_GRACE",
    "UNREACHABLE_AFTER_GRACE",
    "Clone",
    "Discard",
    "Facts",
    "Finish",
    "Forget",
    "Hold",
    "Link",
    "Lose",
    "Pin",
    "PodFacts",
    "Refuse",
    "Replace",
    "Serve",
    "Step",
    "Wait",
    "next_step",
]
