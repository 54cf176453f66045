"""What the workers of one virtual node stand on: who we are, and the ways to vSphere, Kubernetes and guests."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from provider import guestinfo, pod_network, reachability
from provider.addresses import PodVMAddresses, VMAddresses
from provider.admission import Admission
from provider.api.vch import VirtualContainerHostSpec
from provider.brake import Losses
from provider.clock import Clock
from provider.errors import ProviderError
from provider.guest.credentials import ClientCredentials
from provider.guest.link import LinkState
from provider.kube.events import EventRecorder
from provider.kube.objects import ObjectWatches
from provider.kube.policy_watch import Firewalls
from provider.leased_address import Leases
from provider.parent_slots import Demand
from provider.parentvm import ParentVM
from provider.plan import Offer, PodPlan
from provider.pod_controller.inventory import Inventory
from provider.podvm import CloneOrigin, PodIdentity, PodVM, PodVMClass, VSphere
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

    async def starved(self) -> None: ...


class RelayHandlers(Protocol):
    """`relay_controller.RelayController`."""

    def handler_for(
        self,
        identity: PodIdentity,
        addresses: Sequence[str],
        current_pod: Callable[[], KubeObject | None],
        before_delete: Callable[[PodIdentity], Awaitable[None]],
    ) -> RelayHandler: ...


class Parents(Protocol):
    """`parent_controller.Placing`."""

    def offer(self) -> Offer | None: ...

    def place(self, demand: Demand) -> ParentVM:
        """Raises NoParentReady."""

    def lend(self, parent: ParentVM) -> AbstractContextManager[None]: ...

    def refused(self, parent: ParentVM, error: ProviderError) -> None: ...

    def size(self, vm: PodVM) -> PodVMClass | None: ...

    def overhead(self, vm: PodVM) -> PodVMClass | None: ...


class StandbyClones(Protocol):
    """`standby_controller.StandbyController`."""

    def take(self, plan: PodPlan) -> PodVM | None: ...

    def give_back(self, vm: PodVM) -> None: ...

    def bound(self) -> None: ...

    def cloned(self, plan: PodPlan) -> None: ...


LinkFactory = Callable[[PodVM, RelayHandler, Callable[[LinkState], None]], Link]


@dataclass(slots=True)
class Surroundings:
    """One virtual node's."""

    cluster: str
    vch: str
    node: str
    node_labels: dict[str, str]
    node_address: str
    spec: VirtualContainerHostSpec
    addresses: PodVMAddresses
    inventory: Inventory
    parents: Parents
    standby: StandbyClones
    admission: Admission
    losses: Losses
    vsphere: VSphere
    pods: PodKube
    objects: ObjectWatches
    firewalls: Firewalls
    events: EventRecorder
    relay: RelayHandlers
    leases: Leases
    credentials: ClientCredentials
    link: LinkFactory
    reports: reachability.Reports
    clock: Clock
    report_timeout: float
    rights_in_doubt: Callable[[], None]  # vCenter has refused something for lack of a privilege
    on_report: Callable[[], None] = lambda: None  # a guest has told something new of the cluster's network

    def clone_facts(
        self,
        *,
        identity: PodIdentity,
        clone_id: str,
        hostname: str,
        addresses: VMAddresses,
        origin: CloneOrigin,
        seed: bytes,
    ) -> guestinfo.CloneFacts:
        """What a VM is told at its birth, or when it is bound to a Pod."""
        network = self.spec.network
        return guestinfo.CloneFacts(
            identity=identity,
            clone_id=clone_id,
            hostname=hostname,
            network=guestinfo.GuestNetwork(
                addresses.management, network.prefix_length, network.gateway, tuple(network.nameservers)
            ),
            pod_network=pod_network.of_guest(self.spec, self.node_address, addresses.pods, identity.namespace),
            client_ca_pem=self.credentials.ca_pem,
            seed=seed,
            now=self.clock.now().timestamp(),
            origin=origin,
        )

    def reserve(self, uid: str, namespace: str) -> VMAddresses:
        """The addresses for a Pod's VM, the same until there is one. Raises AddressesExhausted."""
        return self.addresses.reserve(uid, namespace)

    def release(self, uid: str) -> None:
        """The Pod has no VM, and none is being cloned."""
        self.addresses.release(uid)
