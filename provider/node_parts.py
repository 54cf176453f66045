"""The parts of one virtual node that stand on a connection to vCenter, put together. Nothing runs here.

`node_engine`, the neighbour, connects, makes these and runs them. What is decided between them is in functions of
values: this only says which part asks which.
"""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provider import capacity, guest_setup, guestinfo, node, parent_slots, quantity, service_feed, standby_controller
from provider.addresses import PodVMAddresses
from provider.admission import Admission
from provider.api.pod_network import Isolation
from provider.api.vch import Sharing, VirtualContainerHostSpec
from provider.brake import Losses
from provider.capacity import Limits, Resources
from provider.collector import Collector
from provider.errors import NoPermission, ProviderError
from provider.guest.credentials import ClientCredentials
from provider.guest.link import GuestLink, LinkState
from provider.image_controller import ImageController
from provider.kube.client import KubeObject
from provider.kube.events import EventRecorder
from provider.kube.images import ImageObjects
from provider.kube.objects import ObjectWatches
from provider.kube.parents import ParentObjects
from provider.kube.writes import PodWrites
from provider.leased_address import Leases
from provider.memory_sampler import MemorySampler
from provider.node_numbers import NodeNumbers
from provider.node_view import NodeView
from provider.parent_controller import ImageMirror, ParentController, ParentInventory, ParentMirror, Placing, Wants
from provider.parent_controller.steps import Owner
from provider.parent_slots import Demand, Slot
from provider.parentvm import ParentKey, Placement
from provider.plan import Offer
from provider.pod_controller import Inventory, PodController, Surroundings
from provider.pod_controller.surroundings import Link, RelayHandler
from provider.pod_network import Pools
from provider.podvm import Appeared, InventoryEvent, PodIdentity, PodVM, PowerState, Synced, Vanished, VSphere
from provider.process import Process
from provider.reachability import Reports
from provider.relay import RelayReply, RelayRequest
from provider.relay_controller import RelayController, failure
from provider.rights import Rights
from provider.standby_controller import Standby, StandbyController, StandbyPorts
from provider.vm_class import VMClass


@dataclass(frozen=True, slots=True)
class Given:
    """What the parts are made from."""

    process: Process  # under the fence of the VCH's Lease
    vch: KubeObject
    spec: VirtualContainerHostSpec
    address: str  # of the node
    vsphere: VSphere
    placed: Placement
    pools: Pools
    credentials: ClientCredentials
    common: Mapping[str, Any]  # what all parents are set up with
    on_change: Callable[[], None]  # parents, capacity or images may have changed
    on_rights: Callable[[NoPermission | None], None]  # what the account lacks


class NodeParts:
    """One connection's."""

    def __init__(self, given: Given, inventory: Inventory) -> None:
        self.given = given
        self._retired = False
        self.inventory = inventory
        process, spec, clock = given.process, given.spec, given.process.clock
        self.name: str = given.vch["metadata"]["name"]
        self._uid: str = given.vch["metadata"]["uid"]
        self.parents = ParentInventory(process.cluster, self._uid)
        self.addresses = PodVMAddresses(
            given.pools.management,
            given.pools.pods,
            lambda: inventory.addresses() | self.parents.addresses(),
            given.pools.namespaces,
        )
        self.admission = Admission(lambda admission: self.resources(admission)[1])
        self.rights = Rights(given.vsphere, self._rights_changed)
        self.images = ImageController(
            given.vsphere, lambda: process.catalog.images, self._used_images, clock, self._images_changed
        )
        self.parent_controller = ParentController(
            Owner(process.cluster, self._uid, self.name),
            self.parents,
            given.vsphere,
            Wants(self._slots, spec.parents.max_concurrent),
            _ParentAddresses(self.addresses, spec),
            clock,
            self._parents_changed,
        )
        self.placing = Placing(self.parent_controller, self.parents, inventory, self._offer, self._classes, clock)
        self.standby = StandbyController(
            PodIdentity(process.cluster, self._uid, self.name, "", "", ""),
            inventory,
            given.vsphere,
            self._standbys,
            StandbyPorts(
                self.parent_controller.known,
                functools.partial(self.placing.place, current_only=True),
                self.placing.lend,
                self.placing.is_current,
                lambda holder: self.addresses.reserve(holder, ""),
                self.addresses.fits,
                self.addresses.release,
                lambda **facts: self.here.clone_facts(**facts),
                lambda vm: self._link(vm, _nothing_to_relay, lambda state: None).run(),
            ),
            clock,
            process.report_timeout,
        )
        writes = PodWrites(process.client)
        self.events = EventRecorder(writes, self.name, clock)
        self.objects = ObjectWatches(process.client, self.name)
        self.here = Surroundings(
            cluster=process.cluster,
            vch=self._uid,
            node=self.name,
            node_labels=node.labels(self.name, spec),
            node_address=given.address,
            spec=spec,
            addresses=self.addresses,
            inventory=inventory,
            parents=self.placing,
            standby=self.standby,
            admission=self.admission,
            losses=Losses(clock),
            vsphere=given.vsphere,
            pods=writes,
            objects=self.objects,
            firewalls=process.firewalls,
            events=self.events,
            relay=RelayController(writes, self.name, given.address),
            leases=Leases(),
            credentials=given.credentials,
            link=self._link,
            clock=clock,
            report_timeout=process.report_timeout,
            rights_in_doubt=self.rights.doubt,
            reports=Reports(),
            on_report=given.on_change,
        )
        self.pods = PodController(self.here, process.objects)
        self.collector = Collector(self.name, inventory, self.pods, writes, given.vsphere, clock)
        self.memory = MemorySampler(self.name, given.vsphere, clock)
        self.numbers = NodeNumbers(
            self.pods,
            inventory,
            self.parents,
            self.parent_controller,
            self.standby,
            self.collector,
            self.admission,
            self.memory,
        )
        self._ready: frozenset[str] = frozenset()
        self._digests: Mapping[ParentKey, str] = {}
        self.view = NodeView(
            vch=given.vch,
            spec=spec,
            catalog=process.catalog,
            parents=self.parents,
            pod_vms=inventory,
            controller=self.parent_controller,
            images=self.images,
            used_images=self.images.used,
            clock=clock,
        )
        self.mirror = ParentMirror(self.name, ParentObjects(process.client), self.view.parent_objects)
        self.image_mirror = ImageMirror(self.name, ImageObjects(process.client), self.view.image_facts, clock)

    # What the node offers.

    def resources(self, admission: Admission | None = None) -> tuple[Resources | None, Resources | None]:
        """Capacity and allocatable; None while hosts and pool are not known."""
        if not self.parents.synced:
            return None, None
        limits = self.given.spec.limits
        whole = capacity.capacity(
            Limits(
                quantity.millis(limits.cpu) if limits.cpu else None,
                quantity.whole(limits.memory) if limits.memory else None,
                limits.pods,
            ),
            self.parents.pool,
            {moref: host for moref, host in self.parents.hosts.items() if self._concerns(moref)},
            len(self.addresses),
        )
        books = admission or self.admission
        held = sum(vm.memory_mib * 2**20 for vm in self.parents.parents if vm.power_state is PowerState.ON)
        return whole, capacity.allocatable(
            whole, parents=Resources(memory_bytes=held), overhead=books.overhead, ended=books.ended
        )

    def inventory_changed(self, event: InventoryEvent) -> None:
        """vSphere shows something new."""
        now = self.given.process.clock.monotonic()
        changed = self.parents.apply(event, now)
        self.pods.inventory_changed(event)
        if changed or isinstance(event, Synced):
            self.parent_controller.inventory_changed(event)
        if isinstance(event, Appeared | Vanished | Synced):
            self.standby.wake()
            self.given.on_change()

    def image_error(self) -> ProviderError | None:
        """Why an image of the VCH cannot be used; None if all can."""
        try:
            self._slots((), ())
        except ProviderError as error:
            return error
        return None

    def retire(self) -> None:
        """Nothing is wanted any more: parents and standby clones go."""
        self._retired = True
        self.parent_controller.wake()
        self.standby.wake()

    # What the parts ask of one another.

    def _concerns(self, host: str) -> bool:
        return not self.given.placed.hosts or host in self.given.placed.hosts

    def _classes(self) -> Mapping[str, VMClass]:
        known = self.given.process.catalog.classes
        return {name: known[name] for name in self.given.spec.template.classes if name in known}

    def _offer(self) -> Offer | None:
        classes = tuple(self._classes().values())
        by_namespace = self.given.spec.sharing is Sharing.NAMESPACE
        dns = self.given.spec.network.cluster_dns
        images = tuple(self.given.spec.template.images)
        domain = dns.domain if dns else ""
        return Offer(classes, images, by_namespace, domain, self._namespaces()) if classes else None

    def _namespaces(self) -> frozenset[str] | None:
        """Those that have a network, where each has its own."""
        pods = self.given.spec.pod_network
        if pods is None or pods.isolation is not Isolation.NAMESPACE:
            return None
        return frozenset(each.namespace for each in pods.namespaces)

    def _used_images(self) -> Sequence[str]:
        own = (each.image for each in self._classes().values() if each.image)
        return list(dict.fromkeys((*self.given.spec.template.images, *own)))

    def _slots(self, hosts: Collection[str], demands: Collection[Demand]) -> Mapping[ParentKey, Slot]:
        if self._retired:
            return {}
        spec = self.given.spec
        return parent_slots.wanted(
            hosts=[host for host in hosts if self._concerns(host)],
            classes=tuple(self._classes().values()),
            images=self.images.images(self.given.common),
            offered=spec.template.images,
            common=self._made_with(),
            prewarm=spec.parents.prewarm and spec.sharing is Sharing.VCH,
            demands=demands,
            max_age=spec.parents.max_age_seconds,
        )

    def _made_with(self) -> Mapping[str, Any]:
        """What all parents are made with, whatever their image."""
        placed = self.given.placed
        cards = {"portGroup": placed.port_group, "podPortGroup": placed.pod_port_group, "podsApart": placed.pods_apart}
        return {**cards, "datastore": placed.datastore}

    def _standbys(self) -> Sequence[Standby]:
        if self._retired or self.given.spec.sharing is Sharing.NAMESPACE or self._namespaces() is not None:
            return ()  # nobody knows yet whose Pod it will be
        classes = self._classes()
        default = self.given.spec.template.images[0]
        return standby_controller.wanted(
            {name: each.standby for name, each in classes.items()},
            {name: each.image or default for name, each in classes.items()},
        )

    def catalog_changed(self) -> None:
        """Classes or images."""
        self.images.changed()
        self.parent_controller.wake()
        self.standby.hurry()
        self.pods.hurry()
        self.given.on_change()

    def _images_changed(self) -> None:
        self.rights.doubt()  # of the templates that are found now
        self.parent_controller.wake()
        self.image_mirror.changed()
        self.given.on_change()

    def _rights_changed(self, error: NoPermission | None) -> None:
        self.given.on_rights(error)
        if error is None:
            self.parent_controller.hurry()
            self.standby.hurry()
            self.pods.hurry()

    def _parents_changed(self) -> None:
        decisions = self.parent_controller.decisions.values()
        ready = frozenset(each.ready.moref for each in decisions if each.ready is not None)
        digests = {key: slot.digest for key, slot in self.parent_controller.slots.items()}
        if ready - self._ready:
            self.pods.hurry()
        if (ready, digests) != (self._ready, self._digests):
            self.standby.hurry()
        self._ready, self._digests = ready, digests
        self.mirror.changed()
        self.image_mirror.changed()
        self.given.on_change()

    def _link(self, vm: PodVM, relay: RelayHandler, on_change: Callable[[LinkState], None]) -> Link:
        assert vm.pin is not None
        clock = self.given.process.clock
        routed = guest_setup.routes_services(self.given.common)
        return GuestLink(
            identity=vm.identity,
            clone_id=vm.clone_id,
            address=vm.address,
            port=guestinfo.GUEST_PORT,
            pin=vm.pin,
            credentials=self.given.credentials,
            relay=relay,
            on_change=on_change,
            clock=lambda: clock.now().timestamp(),
            routes=self.given.process.routes,
            scope=service_feed.ROUTED if routed else service_feed.linked(vm.identity.namespace),
        )


async def _nothing_to_relay(request: RelayRequest) -> RelayReply:
    """A standby clone has no Pod to speak of."""
    return failure(403, "Forbidden", f"a standby clone asks for {request.verb}")


class _ParentAddresses:
    """Addresses for parents while they are prepared."""

    def __init__(self, book: PodVMAddresses, spec: VirtualContainerHostSpec) -> None:
        self._book = book
        self._network = spec.network

    def lend(self, holder: str) -> Mapping[str, Any]:
        """Raises AddressesExhausted."""
        network = self._network
        return {
            "address": f"{self._book.lend(holder)}/{network.prefix_length}",
            "gateway": network.gateway,
            "nameservers": list(network.nameservers),
        }

    def give_back(self, holder: str) -> None:
        self._book.release(holder)
