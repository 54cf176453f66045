"""The words in which the provider speaks of parents and of what holds them: key, digest, report, hosts, resource pool.

Values only, as the neighbour `podvm`, which has the pod VMs and the seam. A *key* says which parent is wanted (a slot:
one parent for each), a *digest* what it must be made from; a parent whose digest is not the slot's is outdated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from provider.power import PowerState


@dataclass(frozen=True, slots=True, order=True)
class ParentKey:
    """One slot for a parent of a VCH. An instant clone lands on its parent's host with its parent's CPU and memory."""

    host: str  # moref of the ESXi host
    image: str  # name of the PodVMImage (a fork is one too)
    vm_class: str  # name of the PodVMClass
    namespace: str = ""  # of the Pods that may share its memory; empty: all of the VCH's


@dataclass(frozen=True, slots=True)
class ParentMarks:
    """What a parent VM carries in extraConfig keys that its guest cannot write."""

    cluster: str  # UID of the namespace kube-system
    vch: str  # UID of the VirtualContainerHost
    parent_id: str  # 32 hex digits, of this VM alone
    key: ParentKey
    digest: str  # of all that it was made from
    made: float = 0.0  # unix seconds; one that does not say is as old as can be


class ParentPhase(StrEnum):
    """What a parent's agent reports."""

    PREPARING = "Preparing"
    WARM = "Warm"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class PreloadedImage:
    """A container image that is in a parent."""

    names: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """What is in a parent; shown in statuses, decides nothing."""

    os_image: str = ""
    kernel_version: str = ""
    kubelet_version: str = ""
    container_runtime_version: str = ""
    agent_version: str = ""
    images: tuple[PreloadedImage, ...] = ()
    shares_memory: bool = True


NO_FACTS = GuestFacts()
"""Of a guest that has not reported."""


@dataclass(frozen=True, slots=True)
class ParentReport:
    """`guestinfo.vch.report` of a parent."""

    parent_id: str
    phase: ParentPhase
    message: str = ""
    guest: GuestFacts = NO_FACTS


def name_end(parent_id: str) -> str:
    """What the name of each parent ends with, so that no two are called the same."""
    return f"-{parent_id[:8]}"


@dataclass(frozen=True, slots=True)
class ParentVM:
    """A parent VM as vSphere shows it."""

    moref: str
    name: str
    marks: ParentMarks
    power_state: PowerState
    frozen: bool
    host: str  # moref of the host that it is on, which is not always its key's
    cpus: int
    memory_mib: int
    report: ParentReport | None = None
    address: str = ""  # lent to it while it is prepared

    @property
    def failed(self) -> bool:
        """Its agent has given up."""
        return self.report is not None and self.report.phase is ParentPhase.FAILED

    @property
    def preparing(self) -> bool:
        """It may use its address; frozen it has no network any more."""
        return not self.frozen and not self.failed

    @property
    def copied(self) -> bool:
        """Somebody cloned one of ours, marks and all, or gave it another name: it is theirs now (invariant I-07)."""
        return not self.name.endswith(name_end(self.marks.parent_id))


@dataclass(frozen=True, slots=True)
class Host:
    """An ESXi host that parents may be on."""

    moref: str
    name: str
    connected: bool
    maintenance: bool
    cpu_mhz: int  # of all cores
    cpu_mhz_used: int
    cpu_cores: int
    memory_bytes: int
    memory_used_bytes: int

    @property
    def usable(self) -> bool:
        return self.connected and not self.maintenance


@dataclass(frozen=True, slots=True)
class ResourcePool:
    """The VCH's resource pool: what it may use at most. None: no limit of its own."""

    moref: str
    name: str
    cpu_mhz_limit: int | None
    memory_bytes_limit: int | None


@dataclass(frozen=True, slots=True)
class MakeParent:
    """All of making a parent: a full clone of `source` (a template or VM), or an instant clone of a frozen parent."""

    name: str
    source: str  # moref
    host: str  # moref
    cpus: int
    memory_mib: int
    extra_config: Mapping[str, str]
    fork: bool = False
    pulls: bool = False  # it needs the management network while it is prepared


@dataclass(frozen=True, slots=True)
class ParentAppeared:
    """A parent VM is new or changed."""

    vm: ParentVM


@dataclass(frozen=True, slots=True)
class ParentVanished:
    """A parent VM is gone from the inventory."""

    moref: str


@dataclass(frozen=True, slots=True)
class HostChanged:
    """A host is new or changed."""

    host: Host


@dataclass(frozen=True, slots=True)
class HostVanished:
    """A host is gone from the cluster."""

    moref: str


@dataclass(frozen=True, slots=True)
class PoolChanged:
    """The resource pool's limits."""

    pool: ResourcePool


@dataclass(frozen=True, slots=True)
class WantedPlacement:
    """The names of a VCH's spec; each a name, an inventory path or a managed object ID. Empty: not given."""

    folder: str
    resource_pool: str
    datacenter: str = ""
    compute_cluster: str = ""
    hosts: tuple[str, ...] = ()
    datastore: str = ""
    port_group: str = ""
    pod_port_group: str = ""
    pods_apart: bool = False  # Pods have a network of their own, be it that of the template's second card
    namespace_port_groups: Mapping[str, str] = field(default_factory=dict)  # by namespace; then none is all Pods'


@dataclass(frozen=True, slots=True)
class PortIsolation:
    """Whether the ports of a port group are kept apart from one another, and how that is known or can be made so."""

    isolated: bool
    message: str


@dataclass(frozen=True, slots=True)
class PortReach:
    """Which VLANs the ports of a port group reach, as first and last IDs; or why that cannot be told from here."""

    vlans: tuple[tuple[int, int], ...] = ()
    unknown: str = ""

    def meets(self, other: "PortReach") -> bool:
        """Some VLAN is reached by both."""
        return any(a <= last and first <= b for a, b in self.vlans for first, last in other.vlans)


@dataclass(frozen=True, slots=True)
class NamespacePorts:
    """The port group of one namespace's Pods."""

    port_group: str  # moref
    name: str
    reach: PortReach


@dataclass(frozen=True, slots=True)
class Placement:
    """What the names resolved to (morefs). Empty: not given."""

    datacenter: str
    compute_cluster: str
    resource_pool: str
    folder: str
    hosts: tuple[str, ...]
    datastore: str = ""
    port_group: str = ""
    pod_port_group: str = ""
    pods_apart: bool = False
    pod_ports: PortIsolation | None = None  # of a port group that is the Pods' alone
    namespaces: Mapping[str, NamespacePorts] = field(default_factory=dict)  # with isolation by namespace
    names: Mapping[str, str] = field(default_factory=dict)  # moref → name, for people
