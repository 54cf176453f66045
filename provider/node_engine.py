"""What of a virtual node needs vCenter: from logging in to the loops that give Pods their VMs. One connection's life.

`run` ends with an error when something can only be begun anew (the login is refused, a name of the placement is another
object now); the neighbour `virtual_node` begins it again. Nothing is lost by that: VMs carry all that is known of them.
What the loops are is `node_parts`.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from provider import cancellation, errors, guest_setup, pod_isolation, pod_network, reachability, vcenter_access
from provider.api.conditions import ConditionType
from provider.api.vch import VirtualContainerHostSpec
from provider.guest_directory import ControllersGuests
from provider.kube import pod_watch
from provider.kube.client import KubeObject
from provider.node_numbers import NodeNumbers
from provider.node_parts import Given, NodeParts
from provider.parentvm import Placement, WantedPlacement
from provider.pod_controller import Inventory
from provider.podvm import Lost, Synced, VSphere
from provider.process import Process
from provider.rights import Rights
from provider.vch_status import Counts, VCHStatus
from provider.vsphere import vcenter
from provider.vsphere.vcenter import VCenter

StatusChange = Callable[[Callable[[VCHStatus], VCHStatus]], None]

_COUNTS_EVERY = 5.0
"""Seconds between updates of numbers (capacity, Pods, parents): they change with every Pod."""
_FIRST_COUNTS_EVERY = 0.2
"""As long as no parent is ready, since everybody waits for the first."""


class NodeEngine:
    """One connection of a VCH to its vCenter, and all that stands on it."""

    def __init__(
        self,
        process: Process,
        vch: KubeObject,
        spec: VirtualContainerHostSpec,
        address: str,
        guests: ControllersGuests,
        change_status: StatusChange,
        before: Counts,
    ) -> None:
        self._process = process
        self._vch = vch
        self._name: str = vch["metadata"]["name"]
        self._spec = spec
        self._address = address  # of the node
        self._guests = guests
        self._change_status = change_status
        self._before = before  # of the connection before this one; what only ever grows goes on from there
        self._inventory = Inventory(process.cluster, vch["metadata"]["uid"])
        self._parts: NodeParts | None = None
        self._changed = asyncio.Event()
        self._ending = False
        self._login: tuple[str, str] | None = None
        self._log = structlog.get_logger(node=self._name)

    def pods(self) -> int | None:
        """How many Pods and pod VMs there are; None while that is not certain."""
        parts = self._parts
        if parts is None or not parts.pods.listed or not self._inventory.synced:
            return None
        return max(len(self._inventory.vms()), sum(1 for _ in parts.pods.workers()))

    def numbers(self) -> NodeNumbers | None:
        """What there is to count; None before the first picture."""
        return self._parts.numbers if self._parts is not None else None

    def stalled(self) -> bool:
        """The loop that looks after the Pods runs, and hangs. Not that vCenter is away: then there is none."""
        return self._parts is not None and self._parts.pods.stalled()

    def retire(self) -> None:
        """The VCH is deleted and its Pods are gone: parents and standby clones go too."""
        self._ending = True
        if self._parts is not None:
            self._parts.retire()

    def empty(self) -> bool:
        """Certainly no VM of ours is left."""
        parts = self._parts
        nothing = parts is not None and not parts.parents.parents and not len(self._inventory)
        return nothing and parts is not None and parts.parents.synced and self._inventory.synced

    async def login_changed(self) -> bool:
        """The Secret says something else than what `run` has logged in with."""
        try:
            return await vcenter_access.login(self._process.objects, self._spec.v_center) != self._login
        except errors.ConfigurationError:
            return True
        except errors.KubeError:
            return False

    async def run(self) -> None:
        """Until cancelled. Raises ProviderError when it has to be begun anew."""
        pools = pod_network.pools(self._spec, self._address)
        credentials = await vcenter_access.guest_credentials(self._process.objects, self._vch, self._process.clock)
        bundle = await vcenter_access.guests_ca_bundle(self._process.objects, self._spec.registries)
        vc = await self._connect()
        try:
            placed = await self._resolve(vc)
            given = Given(
                process=self._process,
                vch=self._vch,
                spec=self._spec,
                address=self._address,
                vsphere=vc,
                placed=placed,
                pools=pools,
                credentials=credentials,
                common=guest_setup.common(
                    self._spec.registries,
                    bundle,
                    self._spec.proxy,
                    self._spec.network.cluster_dns,
                    pod_network.service_routing(self._spec).value,
                ),
                on_change=self._changed.set,
                on_rights=self._rights_changed,
            )
            self._parts = NodeParts(given, self._inventory)
            if self._ending:
                self._parts.retire()
            self._guests.follow(self._parts.pods, credentials.kubelet)
            await self._serve(vc, self._parts)
        finally:
            await vc.close()

    async def _connect(self) -> VCenter:
        objects, spec = self._process.objects, self._spec.v_center
        self._login = username, password = await vcenter_access.login(objects, spec)
        ca_pem = await vcenter_access.ca_bundle(objects, spec)
        vc = await vcenter.connect(
            spec.server,
            username,
            password,
            thumbprint=spec.thumbprint,
            ca_pem=ca_pem,
            fence=self._process.fence.check,
        )
        try:
            about = await vc.about()
        except BaseException:
            await vc.close()
            raise
        self._reached(ConditionType.CREDENTIALS_VALID, "LoggedIn", f"logged in as {username}")
        self._reached(ConditionType.VCENTER_AVAILABLE, "Connected", f"vCenter {about.version} at {spec.server}")
        self._change_status(lambda status: status.of_vcenter(about))
        return vc

    async def _resolve(self, vc: VSphere) -> Placement:
        names, network, pods = self._spec.placement, self._spec.network, self._spec.pod_network
        placed = await vc.resolve(
            WantedPlacement(
                folder=names.folder,
                resource_pool=names.resource_pool,
                datacenter=names.datacenter,
                compute_cluster=names.compute_cluster,
                hosts=tuple(names.hosts),
                datastore=names.datastore,
                port_group=network.port_group,
                pod_port_group=network.port_group if pods is None else pods.port_group,
                pods_apart=pods is not None,
                namespace_port_groups={each.namespace: each.port_group for each in pods.namespaces} if pods else {},
            )
        )
        found, now = pod_isolation.isolation(self._spec, placed), self._process.clock.now()
        self._change_status(lambda status: status.pod_network(found, now))
        await Rights(vc, lambda _: None).look()
        now = self._process.clock.now()
        self._change_status(lambda status: status.resolved(placed, now))
        self._placed()
        return placed

    async def _serve(self, vc: VCenter, parts: NodeParts) -> None:
        process, name = self._process, self._name
        unsubscribe = process.catalog.subscribe(parts.catalog_changed)
        loops = {
            "inventory": self._follow_inventory(vc, parts),
            "pods": parts.pods.run(),
            "collector": parts.collector.run(),
            "events": parts.events.run(),
            "images": parts.images.run(),
            "parents": parts.parent_controller.run(),
            "ParentVM objects": parts.mirror.run(),
            "PodVMImages' statuses": parts.image_mirror.run(),
            "standby clones": parts.standby.run(),
            "counts": self._keep_counts(parts),
            "rights": parts.rights.run(),
            "memory": parts.memory.run(),
            "pod watch": pod_watch.run(name, parts.pods, process.client.configuration, process.keep_signals),
        }
        try:
            async with asyncio.TaskGroup() as group:
                for what, loop in loops.items():
                    group.create_task(loop, name=f"{what} of {name}")
                await cancellation.forever()
        except* errors.ProviderError as group_error:
            cancellation.heed()
            raise first(group_error) from group_error
        finally:
            unsubscribe()
            await parts.objects.close()

    async def _follow_inventory(self, vc: VCenter, parts: NodeParts) -> None:
        async with contextlib.aclosing(vc.watch()) as events:  # type: ignore[type-var]
            async for event in events:
                parts.inventory_changed(event)
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
                        server = self._spec.v_center.server
                        self._reached(ConditionType.VCENTER_AVAILABLE, "Connected", f"connected to {server}")
                        self._placed()
                        self._changed.set()

    def _rights_changed(self, error: errors.NoPermission | None) -> None:
        if error is None:
            self._placed()
            self._changed.set()
            return
        now = self._process.clock.now()
        self._change_status(lambda status: status.failed(ConditionType.PLACEMENT_RESOLVED, error, now))

    def _placed(self) -> None:
        if self._parts is not None and self._parts.rights.error is not None:
            return
        self._reached(
            ConditionType.PLACEMENT_RESOLVED, "PlacementResolved", "all names are found and the account has its rights"
        )

    async def _keep_counts(self, parts: NodeParts) -> None:
        """Images, parents and numbers, into the VCH's status and the Node."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._inventory.synced and parts.parents.synced:
                now = self._process.clock.now()
                counts, parents, images = self._counts(parts), parts.view.parent_counts(), parts.image_error()
                self._change_status(
                    lambda status, c=counts, p=parents, i=images, now=now: status.counted(c, p, i, now)  # type: ignore[misc]
                )
                if (found := self._cluster_network(parts)) is not None:
                    self._change_status(lambda status, f=found, now=now: status.cluster_network(f, now))  # type: ignore[misc]
            await asyncio.sleep(_COUNTS_EVERY if parts.parent_controller.ready_count() else _FIRST_COUNTS_EVERY)

    def _cluster_network(self, parts: NodeParts) -> reachability.Finding | None:
        if not pod_network.has_ipv4(self._spec):
            return reachability.NOT_TRIED
        return parts.here.reports.finding(self._inventory.uids())

    def _counts(self, parts: NodeParts) -> Counts:
        capacity, allocatable = parts.resources()
        standby = parts.standby
        return Counts(
            capacity=capacity,
            allocatable=allocatable,
            pods=len(self._inventory.vms()),
            standby_ready=standby.ready_count(),
            standby_hits=self._before.standby_hits + standby.hits,
            standby_misses=self._before.standby_misses + standby.misses,
            guest=parts.view.guest_facts(),
        )

    def _reached(self, kind: ConditionType, reason: str, message: str) -> None:
        now = self._process.clock.now()
        self._change_status(lambda status: status.reached(kind, reason, message, now))


def first(group: BaseExceptionGroup[errors.ProviderError]) -> errors.ProviderError:
    """One error of those that ended the parts; the others follow from it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, errors.ProviderError)
    return error
