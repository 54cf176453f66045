"""The words in which the provider speaks of pod VMs: identity, clone request, what was observed, and the vSphere seam.

Values and one protocol, no I/O. A *plan* (`plan`) is what is wanted, a `PodVM` here is what vSphere shows, a Pod's
*status* is what the guest's kubelet reported: three things, never mixed. Parents, hosts and pools are the neighbour's
(`parentvm`). `vsphere` implements `VSphere`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from provider.parentvm import (
    HostChanged,
    HostVanished,
    MakeParent,
    ParentAppeared,
    ParentVanished,
    Placement,
    PoolChanged,
    WantedPlacement,
)
from provider.power import PowerState as PowerState


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """Whose VM it is. `uid` is the key of everything; names are for people (a name is used again, a UID never).

    A standby clone has no Pod yet: the last three are empty.
    """

    cluster: str  # UID of the namespace kube-system
    vch: str  # UID of the VirtualContainerHost
    node: str
    namespace: str = ""
    name: str = ""
    uid: str = ""


def uid_letters(uid: str) -> str:
    """What the name of a Pod's VM ends with; that of a standby clone ends with letters of its clone ID."""
    return uid.replace("-", "")[:10]


@dataclass(frozen=True, slots=True)
class PodVMClass:
    """Usable size of the VMs of a class: the hardware less the overhead of kernel, kubelet and agent."""

    cpu_millis: int
    memory_bytes: int


class GuestPhase(StrEnum):
    READY = "Ready"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class GuestReport:
    """What the agent wrote to guestinfo. Believed only for the first fingerprint, before any tenant code runs."""

    clone_id: str
    phase: GuestPhase
    fingerprint: str  # sha256:<hex> of the DER certificate
    address: str
    port: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class CloneRequest:
    """All of an instant clone. `extra_config` holds the complete key set of `guestinfo.encode_clone`."""

    parent: str  # moref of a frozen parent
    name: str
    uid: str
    extra_config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CloneOrigin:
    """What a pod VM was cloned from: written on it, since the parent may be gone."""

    parent_id: str
    image: str
    vm_class: str
    namespace: str = ""  # whose Pods may share the parent's memory; empty: all of the VCH's


@dataclass(frozen=True, slots=True)
class PodVM:
    """A pod VM as vSphere shows it, read from leaf property paths only."""

    moref: str
    name: str
    identity: PodIdentity
    power_state: PowerState
    address: str  # the VM's own, allocated by us: `vch.address`
    clone_id: str
    # The Pod's in it, allocated by us, the primary first: `vch.podAddress`. None: a DHCP server gives it.
    pod_addresses: tuple[str, ...] = ()
    pin: str | None = None  # `vch.pin`: out of the guest's reach
    report: GuestReport | None = None
    host: str = ""  # moref of the host that it is on
    connected: bool = True  # vCenter has its host: else it shows what it knew last, and nothing can be done to the VM
    origin: CloneOrigin | None = None
    change_version: str = ""  # what `bind` is fenced by; of standby VMs only, see `guestinfo.decode_pod_vm`

    @property
    def copied(self) -> bool:
        """Somebody cloned a VM of ours, marks and all, or gave it another name."""
        return not self.name.endswith((f"-{uid_letters(self.identity.uid)}", f"-{self.clone_id[:8]}"))

    @property
    def standby(self) -> bool:
        """Ours, and without a Pod."""
        return not self.identity.uid


@dataclass(frozen=True, slots=True)
class Appeared:
    """A pod VM is new or changed."""

    vm: PodVM


@dataclass(frozen=True, slots=True)
class Vanished:
    """A pod VM is gone from the inventory, or not ours any more."""

    uid: str  # empty if it was a standby VM
    moref: str


@dataclass(frozen=True, slots=True)
class Synced:
    """The complete picture has been delivered: only now does absence mean anything. Again after each reconnect."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The watch broke; the picture is stale until the next `Synced`. Nothing may be concluded from absence."""

    error: Exception


InventoryEvent = (
    Appeared | Vanished | ParentAppeared | ParentVanished | HostChanged | HostVanished | PoolChanged | Synced | Lost
)


@dataclass(frozen=True, slots=True)
class VCenterAbout:
    """Identity of the vCenter that answered."""

    version: str
    api_version: str
    instance_uuid: str


@dataclass(frozen=True, slots=True)
class VMMemory:
    """What a VM has of its host's memory, in bytes, as vSphere accounts for it (VirtualMachineQuickStats)."""

    shared: int  # mapped to pages that others have, too: each VM counts all of them
    private: int
    ballooned: int
    consumed: int  # what the host has spent on it, less what sharing saves

    @property
    def granted(self) -> int:
        """Guest memory that has pages of the host behind it."""
        return self.shared + self.private


class VSphere(Protocol):
    """One VCH's way to vCenter. Errors are `errors.VSphereError`s; every call has a time-out.

    `resolve` comes before everything but `about`. What writes raises as well what the fence raises.
    """

    async def about(self) -> VCenterAbout: ...

    async def resolve(self, wanted: WantedPlacement) -> Placement:
        """Names, inventory paths or morefs to objects.

        Raises DatacenterNotFound, ComputeClusterNotFound, HostNotFound, FolderNotFound, ResourcePoolNotFound,
        DatastoreNotFound, PortGroupNotFound, AmbiguousName; the message lists the names that would do.
        """

    async def template(self, name: str) -> str:
        """The moref of a template, or of a VM that parents are made from.

        Raises TemplateNotFound, AmbiguousName, TemplateUnsuitable.
        """

    async def import_item(self, library: str, item: str, name: str) -> str:
        """Make a template `name` in the VCH's folder from a content library's item; returns its moref.

        Not idempotent: look for the template first. Raises LibraryItemNotFound, NameTaken, NoPermission, DatastoreFull.
        """

    async def import_ova(self, url: str, sha256: str, name: str) -> str:
        """As `import_item`, from an OVA that is fetched and must have that SHA-256.

        Raises OVAInvalid, NameTaken, NoPermission, DatastoreFull; nothing is left behind then.
        """

    async def missing_privileges(self) -> Mapping[str, Sequence[str]]:
        """What the account lacks on the resolved objects and the templates found: name of the object → privileges."""

    def watch(self) -> AsyncIterator[InventoryEvent]:
        """Changes of what is in the VCH's folder, of the hosts and of the pool, for ever; one at a time.

        Reconnects by itself (Lost … Synced).
        """

    async def make_parent(self, request: MakeParent) -> str:
        """A full clone, powered off; or, for a fork, an instant clone, which runs at once. Returns the new VM's moref.

        Not idempotent, as `clone`, and with its errors.
        """

    async def power_on(self, moref: str) -> None:
        """Returns when on. On already: success. Raises VMGone, HostUnavailable, InsufficientResources."""

    async def clone(self, request: CloneRequest) -> str:
        """Instant-clone the parent; returns the new VM's moref when the task has ended well. No card is connected.

        Not idempotent: before calling again after any error, look `uid` up in the inventory and adopt. Raises
        ParentNotFound, ParentNotFrozen, ParentUnsuitable, ParentExhausted (all of them: take another parent),
        HostUnavailable, InsufficientResources, DatastoreFull (another host), NameTaken, VMBusy, NoPermission,
        TaskFailed, VCenterUnreachable (the clone may exist).
        """

    async def bind(self, moref: str, change_version: str, extra_config: Mapping[str, str]) -> None:
        """Write `guestinfo.encode_bind` to a standby VM, unless it has changed since `change_version`.

        Raises StandbyTaken, VMGone, VCenterUnreachable (it may be bound).
        """

    async def pin(self, moref: str, fingerprint: str, namespace: str) -> None:
        """Write `vch.pin` and connect the VM's network cards, in one; the Pod's to the port group of its namespace,
        where each has its own. Raises VMGone, NamespaceNotListed. Idempotent.
        """

    async def power_off(self, moref: str) -> None:
        """Hard power-off; returns when off. Off already, or gone: success."""

    async def destroy(self, moref: str) -> None:
        """Destroy a VM that is off; returns when gone. Gone already: success."""

    async def memory(self) -> Mapping[str, VMMemory]:
        """Of all VMs in the VCH's folder, by moref, in one call. Raises VSphereError."""

    async def close(self) -> None:
        """Log out and end the threads."""
