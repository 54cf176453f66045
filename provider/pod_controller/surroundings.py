"""What the workers of one virtual node stand on: who we are, and the ways to vSphere, Kubernetes and guests."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from provider.addresses import AddressPool
from provider.api.vch import VirtualContainerHostSpec
from provider.clock import Clock
from provider.guest.credentials import ClientCredentials
from provider.guest.link import LinkState
from provider.kube.events import EventRecorder
from provider.kube.objects import ObjectWatches
from provider.pod_controller.inventory import Inventory
from provider.podvm import PodIdentity, PodVM, PodVMClass, VSphere
from provider.relay import RelayReply, RelayRequest

KubeObject = dict[str, Any]
RelayHandler = Callable[[RelayRequest], Awaitable[RelayReply]]


class PodKube(Protocol):
    """What workers read and write of Pods; `kube.writes.PodWrites` is it."""

    async def get_pod(self, namespace: str, name: str) -> KubeObject | None: ...

    async def patch_pod_status(self, namespace: str, name: str, patch: KubeObject) -> KubeObject: ...

    async def delete_pod(self, namespace: str, name: str, uid: str, grace_period_seconds: int | None) -> KubeObject: ...


class Link(Protocol):
    """What is needed of `guest.link.GuestLink`."""

    async def run(self) -> None: ...

    def feed(self, objects: list[KubeObject]) -> None: ...


class RelayHandlers(Protocol):
    """`relay_controller.RelayController`."""

    def handler_for(
        self,
        identity: PodIdentity,
        address: str,
        current_pod: Callable[[], KubeObject | None],
        before_delete: Callable[[PodIdentity], Awaitable[None]],
    ) -> RelayHandler: ...


LinkFactory = Callable[[PodVM, RelayHandler, Callable[[LinkState], None]], Link]


@dataclass(slots=True)
class Surroundings:
    """One virtual node's."""

    cluster: str
    vch: str
    node: str
    node_labels: dict[str, str]
    spec: VirtualContainerHostSpec
    overhead: PodVMClass  # what of a VM is not the Pod's
    pool: AddressPool
    inventory: Inventory
    vsphere: VSphere
    pods: PodKube
    objects: ObjectWatches
    events: EventRecorder
    relay: RelayHandlers
    credentials: ClientCredentials
    link: LinkFactory
    clock: Clock
    report_timeout: float
    reserved: dict[str, str] = field(default_factory=dict)  # address by pod UID, from before the clone to the VM's end

    def vm_class(self) -> PodVMClass | None:
        """Usable size of the next clone's VM; None while the parent is not known."""
        parent = self.inventory.parent
        if parent is None:
            return None
        return PodVMClass(
            cpu_millis=parent.cpus * 1000 - self.overhead.cpu_millis,
            memory_bytes=parent.memory_mib * 2**20 - self.overhead.memory_bytes,
        )

    def reserve(self, uid: str) -> str:
        """The address for a Pod's VM, the same until there is one. Raises AddressesExhausted."""
        if uid not in self.reserved:
            used = self.inventory.addresses() | set(self.reserved.values())
            self.reserved[uid] = self.pool.lowest_free(used)
        return self.reserved[uid]

    def release(self, uid: str) -> None:
        """The Pod has no VM, and none is being cloned."""
        self.reserved.pop(uid, None)
