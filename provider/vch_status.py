"""A VirtualContainerHost's status: conditions that come true one after the other, and `Ready`, which is all of them.

Pure; `virtual_node` tells what happened and `kube.operator_objects` writes it. Conditions follow the API conventions:
`lastTransitionTime` moves only when `status` does, `reason` is an error's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from provider import errors
from provider.api.conditions import ConditionStatus, ConditionType
from provider.node import NodeHealth, parse_time, timestamp
from provider.podvm import Parent, PowerState, VCenterAbout

KubeObject = dict[str, Any]

STAGES = (
    ConditionType.CREDENTIALS_VALID,
    ConditionType.VCENTER_AVAILABLE,
    ConditionType.PLACEMENT_RESOLVED,
    ConditionType.PARENTS_READY,
)
"""In the order in which they are reached; while one is not True those after it cannot be known."""

_ALL = (*STAGES, ConditionType.KUBELET_SERVING, ConditionType.NODE_REGISTERED)
_SINCE = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, and since when its status is what it is."""

    status: ConditionStatus
    reason: str
    message: str
    since: datetime = _SINCE


_UNKNOWN = Condition(ConditionStatus.UNKNOWN, "Pending", "not looked at yet")


@dataclass(frozen=True, slots=True)
class VCHStatus:
    """What a VCH's status says."""

    conditions: Mapping[ConditionType, Condition] = field(default_factory=dict)
    about: VCenterAbout | None = None
    parents_ready: int = 0
    first_ready: datetime | None = None  # since then there may be pod VMs

    @classmethod
    def of_object(cls, status: KubeObject) -> "VCHStatus":
        """From the object as stored, so that a restart is no transition."""
        known = {each.value for each in ConditionType}
        found = {
            ConditionType(each["type"]): Condition(
                ConditionStatus(each["status"]),
                each["reason"],
                each.get("message", ""),
                parse_time(each["lastTransitionTime"]),
            )
            for each in status.get("conditions") or ()
            if each["type"] in known
        }
        first = status.get("firstReadyTime")
        return cls(conditions=found, first_ready=parse_time(first) if first else None)

    def get(self, kind: ConditionType) -> Condition:
        return self.conditions.get(kind, _UNKNOWN)

    def reached(self, kind: ConditionType, reason: str, message: str, now: datetime) -> "VCHStatus":
        """A condition is True."""
        return self._with(kind, ConditionStatus.TRUE, reason, message, now)

    def failed(self, kind: ConditionType, error: errors.ProviderError, now: datetime) -> "VCHStatus":
        """A condition is False, and those that are reached after it are not known."""
        status = self._with(kind, ConditionStatus.FALSE, error.reason, str(error), now)
        if kind in STAGES:
            for later in STAGES[STAGES.index(kind) + 1 :]:
                status = status._with(later, ConditionStatus.UNKNOWN, "Waiting", f"{kind.value} is not True", now)
        return status

    def blamed(self, error: errors.ProviderError, now: datetime) -> "VCHStatus":
        """An error of connecting to vCenter, at the condition that it concerns."""
        status = self
        kind = blame(error)
        for earlier in STAGES[: STAGES.index(kind)]:
            if status.get(earlier).status is not ConditionStatus.TRUE:
                status = status.reached(earlier, "Accepted", f"{kind.value} was reached", now)
        return status.failed(kind, error, now)

    def parent_seen(self, parent: Parent | None, now: datetime) -> "VCHStatus":
        """What the watch shows of the parent VM."""
        kind = ConditionType.PARENTS_READY
        if parent is not None and parent.frozen:
            status = replace(self, parents_ready=1, first_ready=self.first_ready or now)
            return status.reached(kind, "ParentFrozen", f"{parent.name} is frozen and can be cloned", now)
        return replace(self, parents_ready=0).failed(kind, parent_error(parent), now)

    def of_vcenter(self, about: VCenterAbout) -> "VCHStatus":
        return replace(self, about=about)

    def health(self) -> NodeHealth:
        """What the Node says: Pods can be started when all stages are reached."""
        for kind in STAGES:
            found = self.get(kind)
            if found.status is not ConditionStatus.TRUE:
                return NodeHealth(False, found.reason, f"{kind.value}: {found.message}")
        return NodeHealth(True, "VCHReady", "Pods can be started")

    def object(self, generation: int, node: str) -> KubeObject:
        """The status sub-resource. `with_ready` comes before."""
        conditions = {kind: self.get(kind) for kind in (*_ALL, ConditionType.READY)}
        status: KubeObject = {
            "observedGeneration": generation,
            "node": node,
            "parents": {"ready": self.parents_ready},
            "conditions": [_object(kind, condition, generation) for kind, condition in conditions.items()],
        }
        if self.first_ready is not None:
            status["firstReadyTime"] = timestamp(self.first_ready)
        if self.about is not None:
            status["vCenter"] = {"version": self.about.version, "instanceUUID": self.about.instance_uuid}
        return status

    def with_ready(self, now: datetime) -> "VCHStatus":
        """`Ready` brought up to date; its transition is dated now."""
        for kind in _ALL:
            found = self.get(kind)
            if found.status is not ConditionStatus.TRUE:
                message = f"{kind.value}: {found.message}"
                return self._with(ConditionType.READY, ConditionStatus.FALSE, found.reason, message, now)
        return self.reached(ConditionType.READY, "VCHReady", "Pods can be started", now)

    def _with(
        self, kind: ConditionType, status: ConditionStatus, reason: str, message: str, now: datetime
    ) -> "VCHStatus":
        old = self.conditions.get(kind)
        since = old.since if old is not None and old.status is status else now
        changed = {**self.conditions, kind: Condition(status, reason, message, since)}
        return replace(self, conditions=changed)


def blame(error: errors.ProviderError) -> ConditionType:
    """The condition that an error belongs to."""
    match error:
        case errors.SecretNotFound() | errors.SecretInvalid() | errors.InvalidLogin():
            return ConditionType.CREDENTIALS_VALID
        case errors.InvalidSpec() | errors.InventoryObjectNotFound() | errors.NoPermission():
            return ConditionType.PLACEMENT_RESOLVED
        case _:
            return ConditionType.VCENTER_AVAILABLE


def parent_error(parent: Parent | None) -> errors.ProviderError:
    """Why Pods cannot be cloned from the parent as it is."""
    if parent is None:
        return errors.ParentNotFound("the parent VM is gone; make it again under its name")
    if parent.power_state is not PowerState.ON:
        return errors.ParentNotFrozen(f"{parent.name} is {parent.power_state.value}: power it on, it freezes itself")
    return errors.ParentNotFrozen(f"{parent.name} has not reached its freeze point yet")


def _object(kind: ConditionType, condition: Condition, generation: int) -> KubeObject:
    return {
        "type": kind.value,
        "status": condition.status.value,
        "reason": condition.reason,
        "message": condition.message[:32768],
        "lastTransitionTime": timestamp(condition.since),
        "observedGeneration": generation,
    }
