"""How many there are of everything on a virtual node, for `metrics.state`; counted when asked, in what its parts know.

The neighbour `node_view` says what people read in statuses. Decides nothing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from provider.admission import Admission
from provider.capacity import Resources
from provider.collector import Collector
from provider.kubelet.node_series import Machine
from provider.lifecycle import Link
from provider.memory_sampler import MemorySampler
from provider.metrics.state import NodeFacts
from provider.own_share import OwnShare
from provider.parent_controller import ParentController, ParentInventory
from provider.parentvm import ParentVM
from provider.pod_controller import Inventory, PodController
from provider.podvm import PodVM, PowerState, VMMemory
from provider.standby_controller import StandbyController
from provider.vch_status import SHOWN, VCHStatus

PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
ROLES = ("pod", "parent", "standby")


@dataclass(frozen=True, slots=True)
class NodeNumbers:
    """Of one connection's parts."""

    pods: PodController
    pod_vms: Inventory
    parents: ParentInventory
    parent_controller: ParentController
    standby: StandbyController
    collector: Collector
    admission: Admission
    memory: MemorySampler

    def vms(self) -> Mapping[str, list[PodVM | ParentVM]]:
        """By role."""
        return {
            "pod": list(self.pod_vms.vms()),
            "parent": list(self.parents.parents),
            "standby": [seen.vm for seen in self.pod_vms.standbys()],
        }

    def pods_by_phase(self) -> Mapping[str, int]:
        """All phases, those without Pods too."""
        counted = Counter({phase: 0 for phase in PHASES})
        for worker in self.pods.workers():
            if worker.pod is not None:
                counted[(worker.pod.get("status") or {}).get("phase") or "Pending"] += 1
        return counted

    def vms_by_state(self) -> Mapping[tuple[str, str], int]:
        counted = Counter({(role, state.value): 0 for role in ROLES for state in PowerState})
        counted.update((role, vm.power_state.value) for role, vms in self.vms().items() for vm in vms)
        return counted

    def parents_by_state(self) -> Mapping[tuple[str, str, str], int]:
        """By class and image; wanted ones on usable hosts only, as in the VCH's status."""
        counted: Counter[tuple[str, str, str]] = Counter()
        for key in self.parent_controller.slots:
            host, decision = self.parents.hosts.get(key.host), self.parent_controller.decisions.get(key)
            counted[key.vm_class, key.image, "desired"] += host is not None and host.usable
            counted[key.vm_class, key.image, "ready"] += decision is not None and decision.ready is not None
        return counted

    def memory_by_kind(self) -> Mapping[tuple[str, str], int]:
        """Bytes; a role without any numbers is left out."""
        known, summed = self.memory.latest(), Counter[tuple[str, str]]()
        for role, vms in self.vms().items():
            for memory in (known[vm.moref] for vm in vms if vm.moref in known):
                summed.update({(role, kind): amount for kind, amount in _kinds(memory).items()})
        return summed

    def parents_memory(self) -> int:
        """Bytes that the parents take: what vCenter said last, where somebody has asked, else all that they have."""
        known = self.memory.known()
        return sum(
            known[vm.moref].consumed if vm.moref in known else vm.memory_mib * 2**20
            for vm in self.parents.parents
            if vm.power_state is PowerState.ON
        )

    def connected(self) -> int:
        return sum(1 for worker in self.pods.workers() if worker.guest and worker.guest.link is Link.CONNECTED)


def facts(
    vch: str, server: str, status: VCHStatus, numbers: NodeNumbers | None, certificate_expires: float | None
) -> NodeFacts:
    """All of a virtual node. Without a connection (`numbers`), and while the picture is not whole, what its status
    knows."""
    conditions = {kind.value: status.get(kind).status.value for kind in SHOWN}
    known = NodeFacts(
        vch=vch,
        node=vch,
        server=server,
        vcenter_version=status.about.version if status.about else "",
        conditions=conditions,
        capacity=amounts(status.counts.capacity),
        allocatable=amounts(status.counts.allocatable),
        certificate_expires=certificate_expires,
    )
    if numbers is None or not (numbers.pod_vms.synced and numbers.parents.synced):
        return known
    return replace(
        known,
        vcenter_up=True,
        pods=numbers.pods_by_phase() if numbers.pods.listed else {},
        vms=numbers.vms_by_state(),
        parents=numbers.parents_by_state(),
        standby={"desired": numbers.standby.desired_count(), "ready": numbers.standby.ready_count()},
        dangling=numbers.collector.dangling(),
        requested=amounts(numbers.admission.used),
        memory=numbers.memory_by_kind(),
        guests=numbers.connected(),
    )


def machine(
    status: VCHStatus, numbers: NodeNumbers | None, share: OwnShare, certificate_expires: float | None
) -> Machine:
    """The virtual node as the kubelet API shows it."""
    has = status.counts.capacity
    return Machine(
        cpu_cores=has.cpu_millis / 1000 if has else None,
        memory_bytes=has.memory_bytes if has else None,
        cpu_seconds=share.cpu_seconds(),
        memory_used=share.memory_bytes() + (numbers.parents_memory() if numbers else 0),
        certificate_expires=certificate_expires,
        orphans=numbers.collector.dangling() if numbers else None,
    )


def amounts(resources: Resources | None) -> Mapping[tuple[str, str], float]:
    """By resource and unit, with kube-state-metrics' words."""
    if resources is None:
        return {}
    return {
        ("cpu", "core"): resources.cpu_millis / 1000,
        ("memory", "byte"): resources.memory_bytes,
        ("pods", "integer"): resources.pods,
    }


def _kinds(memory: VMMemory) -> Mapping[str, int]:
    return {
        "granted": memory.granted,
        "shared": memory.shared,
        "private": memory.private,
        "ballooned": memory.ballooned,
        "consumed": memory.consumed,
    }
