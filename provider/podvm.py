"""The words in which the provider speaks of pod VMs: identity, clone request, what was observed, and the vSphere seam.

Values and one protocol, no I/O. A *plan* (`plan`) is what is wanted, a `PodVM` here is what vSphere shows, a Pod's
*status* is what the guest's kubelet reported: three things, never mixed. `vsphere` implements `VSphere`.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """Whose VM it is. `uid` is the key of everything; names are for people (a name is used again, a UID never)."""

    cluster: str  # UID of the namespace kube-system
    vch: str  # UID of the VirtualContainerHost
    node: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PodVMClass:
    """Usable size of the VMs of a class: the hardware less the overhead of kernel, kubelet and agent."""

    cpu_millis: int
    memory_bytes: int


class PowerState(StrEnum):
    ON = "poweredOn"
    OFF = "poweredOff"
    SUSPENDED = "suspended"


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
    address: str  # allocated by us, from `vch.address`
    clone_id: str
    pin: str | None = None  # `vch.pin`: out of the guest's reach
    report: GuestReport | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """The parent VM of a VCH as vSphere shows it."""

    moref: str
    name: str
    power_state: PowerState
    frozen: bool
    cpus: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Appeared:
    """A pod VM is new or changed."""

    vm: PodVM


@dataclass(frozen=True, slots=True)
class Vanished:
    """A pod VM is gone from the inventory."""

    uid: str
    moref: str


@dataclass(frozen=True, slots=True)
class ParentChanged:
    """The parent froze, thawed, went away (None) or changed its size."""

    parent: Parent | None


@dataclass(frozen=True, slots=True)
class Synced:
    """The complete picture has been delivered: only now does absence mean anything. Again after each reconnect."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The watch broke; the picture is stale until the next `Synced`. Nothing may be concluded from absence."""

    error: Exception


InventoryEvent = Appeared | Vanished | ParentChanged | Synced | Lost


@dataclass(frozen=True, slots=True)
class VCenterAbout:
    """Identity of the vCenter that answered."""

    version: str
    api_version: str
    instance_uuid: str


@dataclass(frozen=True, slots=True)
class Placement:
    """What the VCH's names resolved to (morefs)."""

    folder: str
    resource_pool: str
    parent: str


class VSphere(Protocol):
    """One VCH's way to vCenter. Errors are `errors.VSphereError`s; every call has a time-out."""

    async def about(self) -> VCenterAbout: ...

    async def resolve(self, folder: str, resource_pool: str, parent: str) -> Placement:
        """Names, inventory paths or morefs to objects.

        Raises FolderNotFound, ResourcePoolNotFound, ParentNotFound; the message lists the valid names.
        """

    def watch(self) -> AsyncIterator[InventoryEvent]:
        """Changes of the VCH's folder and parent, for ever; reconnects by itself (Lost … Synced). One at a time."""

    async def clone(self, request: CloneRequest) -> str:
        """Instant-clone the parent; returns the new VM's moref when the task has ended well.

        Not idempotent: before calling again after any error, look `uid` up in the inventory and adopt. Raises
        ParentNotFrozen, NameTaken, InsufficientResources, VMBusy, NoPermission, TaskFailed, VCenterUnreachable (the
        clone may exist).
        """

    async def pin(self, moref: str, fingerprint: str) -> None:
        """Write `vch.pin`. Raises VMGone. Idempotent."""

    async def power_off(self, moref: str) -> None:
        """Hard power-off; returns when off. Off already, or gone: success."""

    async def destroy(self, moref: str) -> None:
        """Destroy a VM that is off; returns when gone. Gone already: success."""

    async def close(self) -> None:
        """Log out and end the threads."""
