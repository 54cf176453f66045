"""A VirtualContainerHost's status: conditions that come true one after the other, and `Ready`, which is all of them.

`PodNetworkIsolated` and `ClusterNetworkReachable` stand after them, for themselves: Pods can be started without.

Pure; `virtual_node` tells what happened and `kube.operator_objects` writes it. Conditions follow the API conventions:
`lastTransitionTime` moves only when `status` does, `reason` is an error's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from provider import errors, quantity, reachability
from provider.api.conditions import ConditionStatus, ConditionType
from provider.capacity import Resources
from provider.node import NodeHealth, NodeOffer, parse_time, resource_list, timestamp
from provider.parentvm import NO_FACTS, GuestFacts, Placement
from provider.pod_isolation import Finding
from provider.podvm import VCenterAbout

KubeObject = dict[str, Any]

STAGES = (
    ConditionType.CREDENTIALS_VALID,
    ConditionType.VCENTER_AVAILABLE,
    ConditionType.PLACEMENT_RESOLVED,
    ConditionType.IMAGE_READY,
    ConditionType.PARENTS_READY,
)
"""In the order in which they are reached; while one is not True those after it cannot be known."""

_ALL = (*STAGES, ConditionType.KUBELET_SERVING, ConditionType.NODE_REGISTERED)
_BESIDE = (ConditionType.POD_NETWORK_ISOLATED, ConditionType.CLUSTER_NETWORK_REACHABLE)
"""No part of `Ready`."""
SHOWN = (*_ALL, ConditionType.READY, *_BESIDE)
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
class Counts:
    """Numbers, which change with every Pod."""

    capacity: Resources | None = None
    allocatable: Resources | None = None
    pods: int = 0
    standby_ready: int = 0
    standby_hits: int = 0
    standby_misses: int = 0
    guest: GuestFacts = NO_FACTS


@dataclass(frozen=True, slots=True)
class ParentCounts:
    """Parents: how many are wanted on usable hosts, how many can be cloned, and what is said of the others."""

    desired: int = 0
    ready: int = 0
    missing: tuple[str, ...] = ()  # for each image and class of which no parent is ready
    failure: errors.ProviderError | None = None
    on_demand: bool = False
    classes_missing: tuple[str, ...] = ()
    classes_there: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VCHStatus:
    """What a VCH's status says."""

    conditions: Mapping[ConditionType, Condition] = field(default_factory=dict)
    about: VCenterAbout | None = None
    placed: Placement | None = None
    counts: Counts = Counts()
    parents: ParentCounts = ParentCounts()
    first_ready: datetime | None = None  # since then there may be VMs of ours
    end: tuple[str, str] | None = None  # the VCH is deleted: reason and message

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
        parents, standby = status.get("parents") or {}, status.get("standby") or {}
        return cls(
            conditions=found,
            first_ready=parse_time(first) if first else None,
            counts=Counts(
                capacity=_resources(status.get("capacity")),
                allocatable=_resources(status.get("allocatable")),
                pods=int(status.get("pods") or 0),
                standby_hits=int(standby.get("hits") or 0),
                standby_misses=int(standby.get("misses") or 0),
            ),
            parents=ParentCounts(int(parents.get("desired") or 0), int(parents.get("ready") or 0)),
        )

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

    def counted(
        self, counts: Counts, parents: ParentCounts, image_error: errors.ProviderError | None, now: datetime
    ) -> "VCHStatus":
        """What the connection's parts have found: images, parents, numbers."""
        status = replace(self, counts=counts, parents=parents)
        if self.get(ConditionType.PLACEMENT_RESOLVED).status is not ConditionStatus.TRUE:
            return status
        if image_error is not None:
            status = status._with(
                ConditionType.IMAGE_READY, ConditionStatus.FALSE, image_error.reason, str(image_error), now
            )
        else:
            status = status.reached(ConditionType.IMAGE_READY, "ImagesFound", "all images of the VCH are found", now)
        return status._parents_counted(parents, now)

    def _parents_counted(self, parents: ParentCounts, now: datetime) -> "VCHStatus":
        kind = ConditionType.PARENTS_READY
        if parents.classes_missing:
            error = errors.InvalidSpec(
                "spec.template.classes",
                f"there is no PodVMClass {', '.join(parents.classes_missing)}; "
                f"there are: {', '.join(parents.classes_there) or 'none'}",
            )
            return self.failed(kind, error, now)
        if parents.on_demand and not parents.desired:
            return self.reached(kind, "MadeOnDemand", "parents are made when a Pod needs one", now)
        told = f"{parents.ready} of {parents.desired} parents can be cloned"
        if parents.missing or not parents.ready:
            reason = parents.failure.reason if parents.failure else "ParentsProvisioning"
            message = "; ".join((told, *parents.missing))
            return self._with(kind, ConditionStatus.FALSE, reason, message, now)
        return self.reached(kind, "ParentsReady", told, now)

    def resolved(self, placed: Placement, now: datetime) -> "VCHStatus":
        """From now on there may be VMs of ours."""
        return replace(self, placed=placed, first_ready=self.first_ready or now)

    def pod_network(self, found: Finding, now: datetime) -> "VCHStatus":
        """Whether Pods are kept apart on their network."""
        status = ConditionStatus.TRUE if found.isolated else ConditionStatus.FALSE
        return self._with(ConditionType.POD_NETWORK_ISOLATED, status, found.reason, found.message, now)

    def cluster_network(self, found: reachability.Finding, now: datetime) -> "VCHStatus":
        """Whether Pods reach what they need of the cluster."""
        status = {True: ConditionStatus.TRUE, False: ConditionStatus.FALSE, None: ConditionStatus.UNKNOWN}
        kind = ConditionType.CLUSTER_NETWORK_REACHABLE
        return self._with(kind, status[found.reachable], found.reason, found.message, now)

    def ending(self, refused: bool, pods: int) -> "VCHStatus":
        """The VCH is being deleted, and what that waits for."""
        if refused and pods:
            message = f"spec.deletionPolicy is Refuse and there are {pods} Pods: delete them, or set it to Drain"
            return replace(self, end=("DeletionRefused", message))
        return replace(self, end=("Draining", f"the VCH is deleted; {pods} Pods are left"))

    def of_vcenter(self, about: VCenterAbout) -> "VCHStatus":
        return replace(self, about=about)

    def health(self) -> NodeHealth:
        """What the Node says: Pods can be started when vCenter is there and some parent can be cloned, or made."""
        if self.parents.ready or self.parents.on_demand:
            stages = STAGES[: STAGES.index(ConditionType.IMAGE_READY)]
        else:
            stages = STAGES
        for kind in stages:
            found = self.get(kind)
            if found.status is not ConditionStatus.TRUE:
                return NodeHealth(False, found.reason, f"{kind.value}: {found.message}")
        return NodeHealth(True, "VCHReady", "Pods can be started")

    def offered(self) -> NodeOffer:
        """What the Node shows of capacity and guests."""
        return NodeOffer(self.counts.capacity, self.counts.allocatable, self.counts.guest)

    def object(self, generation: int, node: str) -> KubeObject:
        """The status sub-resource. `with_ready` comes before."""
        conditions = {kind: self.get(kind) for kind in SHOWN}
        status: KubeObject = {
            "observedGeneration": generation,
            "node": node,
            "pods": self.counts.pods,
            "parents": {"desired": self.parents.desired, "ready": self.parents.ready},
            "standby": {
                "ready": self.counts.standby_ready,
                "hits": self.counts.standby_hits,
                "misses": self.counts.standby_misses,
            },
            "conditions": [_object(kind, condition, generation) for kind, condition in conditions.items()],
        }
        if self.first_ready is not None:
            status["firstReadyTime"] = timestamp(self.first_ready)
        for name, found in (("capacity", self.counts.capacity), ("allocatable", self.counts.allocatable)):
            if found is not None:
                status[name] = {**resource_list(found), "pods": found.pods}
        if self.placed is not None:
            status["resolved"] = _resolved(self.placed)
        if self.about is not None:
            status["vCenter"] = {"version": self.about.version, "instanceUUID": self.about.instance_uuid}
        return status

    def with_ready(self, now: datetime) -> "VCHStatus":
        """`Ready` brought up to date; its transition is dated now."""
        if self.end is not None:
            return self._with(ConditionType.READY, ConditionStatus.FALSE, *self.end, now)
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


def _resources(stored: KubeObject | None) -> Resources | None:
    if not stored:
        return None
    return Resources(
        quantity.millis(stored.get("cpu", "0")), quantity.whole(stored.get("memory", "0")), int(stored.get("pods", 0))
    )


def _resolved(placed: Placement) -> KubeObject:
    return {
        "datacenter": placed.datacenter,
        "computeCluster": placed.compute_cluster,
        "resourcePool": placed.resource_pool,
        "folder": placed.folder,
        "datastore": placed.datastore,
        "hosts": sorted(placed.hosts),
    }


def _object(kind: ConditionType, condition: Condition, generation: int) -> KubeObject:
    return {
        "type": kind.value,
        "status": condition.status.value,
        "reason": condition.reason,
        "message": condition.message[:32768],
        "lastTransitionTime": timestamp(condition.since),
        "observedGeneration": generation,
    }
