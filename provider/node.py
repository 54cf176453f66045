"""The virtual node's Node object, built from the VCH and its health. Pure; `node_controller` writes it.

Only fields that are ours are built: labels, annotations, taints at creation, and our parts of the status. Foreign
labels, taints, conditions and `spec.unschedulable` are never touched (invariant I-56).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from provider import quantity
from provider.api.node import TAINT_KEY, TaintEffect
from provider.api.vch import VirtualContainerHostSpec
from provider.capacity import Resources
from provider.parentvm import NO_FACTS, GuestFacts

KubeObject = dict[str, Any]

VCH_LABEL = "vch.dev/vch"
KUBELET_VERSION = "v1.37.2"
"""What a Node without guests reports: the kubelet that the guest images of this version carry."""

_MAX_IMAGES = 50
LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
STATUS_SECONDS = 300.0
"""Node status at least every 5 min, and on change (KEP-589)."""


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """What the node's conditions say. Running Pods are well without vCenter: `Ready` does not depend on it, because a
    Node that is not Ready has its Pods evicted after five minutes. New Pods are kept away by `NetworkUnavailable`,
    which the node lifecycle controller turns into a NoSchedule taint (invariant I-33)."""

    can_clone: bool = False
    reason: str = "Starting"
    message: str = "the VCH is being connected"


@dataclass(frozen=True, slots=True)
class NodeOffer:
    """What the Node shows of size and guests. None: not known yet, nothing is offered."""

    capacity: Resources | None = None
    allocatable: Resources | None = None
    guest: GuestFacts = NO_FACTS


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition without its times."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions that know since when they are what they are."""

    values: Mapping[str, tuple[Condition, datetime]] = field(default_factory=dict)

    def updated(self, conditions: Sequence[Condition], now: datetime) -> "Conditions":
        """lastTransitionTime moves only when the status does (API conventions)."""
        values = dict(self.values)
        for condition in conditions:
            old = values.get(condition.type)
            values[condition.type] = (condition, old[1] if old and old[0].status == condition.status else now)
        return Conditions(values)

    def objects(self, heartbeat: datetime) -> list[KubeObject]:
        return [
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message,
                "lastTransitionTime": timestamp(since),
                "lastHeartbeatTime": timestamp(heartbeat),
            }
            for condition, since in self.values.values()
        ]

    @classmethod
    def of_node(cls, node: KubeObject | None) -> "Conditions":
        """Ours of an existing Node: a restart is no transition."""
        found = {}
        for each in ((node or {}).get("status") or {}).get("conditions") or ():
            if each.get("type") in _OURS and each.get("lastTransitionTime"):
                condition = Condition(each["type"], each["status"], each.get("reason", ""), each.get("message", ""))
                found[condition.type] = (condition, parse_time(each["lastTransitionTime"]))
        return cls(found)


_OURS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


def timestamp(when: datetime) -> str:
    """metav1.Time: whole seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def labels(name: str, spec: VirtualContainerHostSpec) -> dict[str, str]:
    """The virtual node's labels; the VCH may add to them, not change them."""
    return {
        **spec.node.labels,
        "type": "virtual-kubelet",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/role": "agent",
        "node-role.kubernetes.io/agent": "",
        # A load balancer would send traffic to node ports, which a virtual node does not have.
        "node.kubernetes.io/exclude-from-external-load-balancers": "",
        VCH_LABEL: name,
    }


def taints(name: str, spec: VirtualContainerHostSpec) -> list[KubeObject]:
    """Those of the VCH, or the one that virtual-kubelet made customary."""
    if spec.node.taints is None:
        return [{"key": TAINT_KEY, "value": name, "effect": TaintEffect.NO_SCHEDULE.value}]
    return [
        {"key": taint.key, "effect": taint.effect.value, **({"value": taint.value} if taint.value else {})}
        for taint in spec.node.taints
    ]


def new_node(name: str, spec: VirtualContainerHostSpec) -> KubeObject:
    """The Node at its creation. Taints are set here only: as a list they are nobody's alone afterwards."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels(name, spec)},
        "spec": {"taints": taints(name, spec)},
    }


def node_metadata(name: str, spec: VirtualContainerHostSpec) -> KubeObject:
    """Our labels and annotations, for server-side apply."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels(name, spec), "annotations": dict(spec.node.annotations)},
    }


def node_status(
    name: str,
    address: str | None,
    conditions: list[KubeObject],
    port: int,
    offer: NodeOffer,
    known: KubeObject | None = None,
) -> KubeObject:
    """Our part of the status, for server-side apply. What is not known yet (size and guests by the offer, the address
    while its Service is being made) stays as it is `known`."""
    stored = (known or {}).get("status") or {}
    address = address or internal_ip(known)
    size = {
        "capacity": resource_list(offer.capacity or Resources()),
        "allocatable": resource_list(offer.allocatable or Resources()),
    }
    about = {"images": images(offer.guest), "nodeInfo": node_info(offer.guest)}
    if offer.capacity is None:
        size |= {name: stored[name] for name in size if name in stored}
    if offer.guest == NO_FACTS:
        about |= {name: stored[name] for name in about if name in stored}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {
            **size,
            **about,
            "conditions": conditions,
            "addresses": [
                *([{"type": "InternalIP", "address": address}] if address else ()),
                {"type": "Hostname", "address": name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        },
    }


def internal_ip(known: KubeObject | None) -> str | None:
    """The address that a Node has."""
    listed = ((known or {}).get("status") or {}).get("addresses") or ()
    return next((str(each["address"]) for each in listed if each["type"] == "InternalIP"), None)


def resource_list(resources: Resources) -> KubeObject:
    """As a ResourceList."""
    return {
        "cpu": quantity.format_cpu(resources.cpu_millis),
        "memory": quantity.format_memory(resources.memory_bytes),
        "pods": str(resources.pods),
    }


def images(guest: GuestFacts) -> list[KubeObject]:
    """Preloaded images, the largest first, no more than a kubelet tells (`nodeStatusMaxImages`): the scheduler's
    ImageLocality prefers nodes that have a Pod's images."""
    largest = sorted(guest.images, key=lambda image: (-image.size_bytes, image.names))[:_MAX_IMAGES]
    return [{"names": list(image.names), "sizeBytes": image.size_bytes} for image in largest]


def node_info(guest: GuestFacts) -> KubeObject:
    """All fields are required; what they say is the guests', and of one guest alone nothing."""
    return {
        "architecture": "amd64",
        "operatingSystem": "linux",
        "kubeletVersion": guest.kubelet_version or KUBELET_VERSION,
        "kubeProxyVersion": "",
        "containerRuntimeVersion": guest.container_runtime_version or "containerd://in-guest",
        "osImage": guest.os_image or "virtual-kubelet-vch",
        "kernelVersion": guest.kernel_version,
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
    }


def lease(name: str, node_uid: str, now: datetime) -> KubeObject:
    """The heartbeat; it belongs to the Node object and goes with it (invariant I-53)."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": "kube-node-lease",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid}],
        },
        "spec": {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }


def node_conditions(health: NodeHealth) -> list[Condition]:
    """Ready as long as we run: heartbeats stop with us, and the Node turns Unknown by itself."""
    fine = [
        Condition("Ready", "True", "ProviderReady", "the virtual node is served"),
        *(
            Condition(f"{kind}Pressure", "False", "PodVM", "each Pod has a VM of its own")
            for kind in ("Memory", "Disk", "PID")
        ),
    ]
    if health.can_clone:
        return [*fine, Condition("NetworkUnavailable", "False", "VCHReady", "Pods can be started")]
    return [*fine, Condition("NetworkUnavailable", "True", health.reason, health.message)]
