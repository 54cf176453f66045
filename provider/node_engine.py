"""What of a virtual node needs vCenter: from logging in to the loops that give Pods their VMs. One connection's life.

`run` ends with an error when something can only be begun anew (the login is refused, the parent is another VM); the
neighbour `virtual_node` begins it again. Nothing is lost by that: pod VMs carry all that is known of them.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from provider import addresses, errors, guestinfo, node, quantity, vcenter_access
from provider.addresses import AddressPool
from provider.api.conditions import ConditionType
from provider.api.vch import VirtualContainerHostSpec
from provider.api.vm_class import Overhead
from provider.collector import Collector
from provider.guest.credentials import ClientCredentials
from provider.guest.link import GuestLink, LinkState
from provider.guest_directory import ControllersGuests
from provider.kube import pod_watch
from provider.kube.client import KubeObject
from provider.kube.events import EventRecorder
from provider.kube.objects import ObjectWatches
from provider.kube.writes import PodWrites
from provider.pod_controller import Inventory, PodController, Surroundings
from provider.pod_controller.surroundings import Link, RelayHandler
from provider.podvm import Lost, ParentChanged, Placement, PodVM, PodVMClass, Synced
from provider.process import Process
from provider.relay_controller import RelayController
from provider.vch_status import VCHStatus
from provider.vsphere import vcenter
from provider.vsphere.vcenter import VCenter

StatusChange = Callable[[Callable[[VCHStatus], VCHStatus]], None]

_PARENT_LOOK = 10.0
"""Seconds between looks for a parent that was made anew: it has another moref, so the watch does not show it."""


class NodeEngine:
    """One connection of a VCH to its vCenter, and all that stands on it."""

    def __init__(
        self,
        process: Process,
        vch: KubeObject,
        spec: VirtualContainerHostSpec,
        guests: ControllersGuests,
        change_status: StatusChange,
    ) -> None:
        self._process = process
        self._vch = vch
        self._name: str = vch["metadata"]["name"]
        self._spec = spec
        self._guests = guests
        self._change_status = change_status
        self._inventory = Inventory(process.cluster, vch["metadata"]["uid"])
        self._controller: PodController | None = None
        self._parent_gone = asyncio.Event()
        self._log = structlog.get_logger(node=self._name)

    def empty(self) -> bool:
        """Certainly no pod VM is left."""
        controller = self._controller
        return (
            controller is not None
            and controller.listed
            and self._inventory.synced
            and len(self._inventory) == 0
            and not any(True for _ in controller.workers())
        )

    async def run(self) -> None:
        """Until cancelled. Raises ProviderError when it has to be begun anew."""
        pool = address_pool(self._spec)
        overhead = overhead_of(Overhead())
        credentials = await vcenter_access.guest_credentials(self._process.objects, self._vch, self._process.clock)
        vc = await self._connect()
        try:
            placed = await self._resolve(vc)
            self._reached(ConditionType.PLACEMENT_RESOLVED, "PlacementResolved", "folder, pool and parent are found")
            await self._serve(vc, placed, pool, overhead, credentials)
        finally:
            await vc.close()

    async def _connect(self) -> VCenter:
        objects, spec = self._process.objects, self._spec.v_center
        username, password = await vcenter_access.login(objects, spec)
        ca_pem = await vcenter_access.ca_bundle(objects, spec)
        vc = await vcenter.connect(spec.server, username, password, thumbprint=spec.thumbprint, ca_pem=ca_pem)
        try:
            about = await vc.about()
        except BaseException:
            await vc.close()
            raise
        self._reached(ConditionType.CREDENTIALS_VALID, "LoggedIn", f"logged in as {username}")
        self._reached(ConditionType.VCENTER_AVAILABLE, "Connected", f"vCenter {about.version} at {spec.server}")
        self._change_status(lambda status: status.of_vcenter(about))
        return vc

    async def _resolve(self, vc: VCenter) -> Placement:
        wanted = self._spec.placement
        return await vc.resolve(wanted.folder, wanted.resource_pool, self._spec.template.images[0])

    async def _serve(
        self, vc: VCenter, placed: Placement, pool: AddressPool, overhead: PodVMClass, credentials: ClientCredentials
    ) -> None:
        process, name = self._process, self._name
        writes = PodWrites(process.client)
        events = EventRecorder(writes, name, process.clock)
        objects = ObjectWatches(process.client, name)
        here = Surroundings(
            cluster=process.cluster,
            vch=self._vch["metadata"]["uid"],
            node=name,
            node_labels=node.labels(name, self._spec),
            spec=self._spec,
            overhead=overhead,
            pool=pool,
            inventory=self._inventory,
            vsphere=vc,
            pods=writes,
            objects=objects,
            events=events,
            relay=RelayController(writes, name, self._spec.node.address),
            credentials=credentials,
            link=self._link_factory(credentials),
            clock=process.clock,
            report_timeout=process.report_timeout,
        )
        controller = self._controller = PodController(here, process.objects)
        self._guests.follow(controller, credentials.kubelet)
        collector = Collector(name, self._inventory, controller, writes, vc, process.clock)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_inventory(vc, controller), name=f"inventory of {name}")
                group.create_task(controller.run(), name=f"pods of {name}")
                group.create_task(collector.run(), name=f"collector of {name}")
                group.create_task(events.run(), name=f"events of {name}")
                group.create_task(self._mind_parent(vc, placed), name=f"parent of {name}")
                group.create_task(
                    pod_watch.run(name, controller, process.client.configuration, process.keep_signals),
                    name=f"pod watch of {name}",
                )
        except* errors.ProviderError as group_error:
            raise first(group_error) from group_error
        finally:
            await objects.close()

    async def _follow_inventory(self, vc: VCenter, controller: PodController) -> None:
        async with contextlib.aclosing(vc.watch()) as events:  # type: ignore[type-var]
            async for event in events:
                controller.inventory_changed(event)
                match event:
                    case Lost(errors.InvalidLogin() as error):
                        raise error  # the Secret may say something new
                    case Lost(errors.ProviderError() as error):
                        now = self._process.clock.now()
                        self._change_status(
                            lambda status, error=error, now=now: status.failed(  # type: ignore[misc]
                                ConditionType.VCENTER_AVAILABLE, error, now
                            )
                        )
                    case Synced():
                        self._synced()
                    case ParentChanged():
                        self._parent_changed()

    def _synced(self) -> None:
        server = self._spec.v_center.server
        self._reached(ConditionType.VCENTER_AVAILABLE, "Connected", f"connected to {server}")
        self._reached(ConditionType.PLACEMENT_RESOLVED, "PlacementResolved", "folder, pool and parent are found")
        self._parent_changed()

    def _parent_changed(self) -> None:
        parent, now = self._inventory.parent, self._process.clock.now()
        self._change_status(lambda status: status.parent_seen(parent, now))
        if parent is None and self._inventory.synced:
            self._parent_gone.set()
        else:
            self._parent_gone.clear()

    async def _mind_parent(self, vc: VCenter, placed: Placement) -> None:
        """Pods that run need no parent, so they are not disturbed until there is another one."""
        while True:
            await self._parent_gone.wait()
            with contextlib.suppress(errors.VSphereError):
                if await self._resolve(vc) != placed:
                    raise ParentReplaced(f"{self._spec.template.images[0]} is another VM now")
            await asyncio.sleep(_PARENT_LOOK)

    def _link_factory(self, credentials: ClientCredentials) -> Callable[..., Link]:
        clock = self._process.clock

        def link(vm: PodVM, relay: RelayHandler, on_change: Callable[[LinkState], None]) -> Link:
            assert vm.pin is not None
            return GuestLink(
                identity=vm.identity,
                clone_id=vm.clone_id,
                address=vm.address,
                port=guestinfo.GUEST_PORT,
                pin=vm.pin,
                credentials=credentials,
                relay=relay,
                on_change=on_change,
                clock=lambda: clock.now().timestamp(),
            )

        return link

    def _reached(self, kind: ConditionType, reason: str, message: str) -> None:
        now = self._process.clock.now()
        self._change_status(lambda status: status.reached(kind, reason, message, now))


class ParentReplaced(errors.ConfigurationError):
    """The parent was made anew: its clones are other VMs' clones from now on."""

    reason = "ParentReplaced"
    retry_after = 0.1


def address_pool(spec: VirtualContainerHostSpec) -> AddressPool:
    """The VCH's addresses. Raises InvalidSpec."""
    reserved = [address for address in (spec.network.gateway, spec.node.address) if address]
    try:
        return addresses.parse_ranges(spec.network.ranges, reserved)
    except ValueError as error:
        raise errors.InvalidSpec("spec.network.ranges", str(error)) from error


def overhead_of(overhead: Overhead) -> PodVMClass:
    """Raises InvalidSpec."""
    found = {}
    for name, unit in (("cpu", quantity.millis), ("memory", quantity.whole)):
        try:
            found[name] = unit(getattr(overhead, name))
        except ValueError as error:
            raise errors.InvalidSpec(f"overhead.{name}", str(error)) from error
    return PodVMClass(found["cpu"], found["memory"])


def first(group: BaseExceptionGroup[errors.ProviderError]) -> errors.ProviderError:
    """One error of those that ended the parts; the others follow from it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, errors.ProviderError)
    return error
