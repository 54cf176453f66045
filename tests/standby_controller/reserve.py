"""Standby clones in memory: the controller of one virtual node between a vSphere with one parent and Pods that a test
plays."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, cast

from provider import guestinfo
from provider.addresses import PodVMAddresses, VMAddresses, parse_ranges
from provider.errors import NoParentReady
from provider.guestinfo import CloneFacts, GuestNetwork
from provider.parent_slots import Demand
from provider.parentvm import ParentVM
from provider.plan import PodPlan
from provider.pod_controller import Inventory
from provider.podvm import InventoryEvent, PodVM
from provider.standby_controller import Standby, StandbyController, StandbyPorts
from tests.builders import make_identity, make_plan, make_pod_network
from tests.pod_controller.fake_vsphere import FakeVSphere
from tests.pod_controller.hurried_loop import LoopClock

SMALL = Demand("photon", "small")
REPORT_TIMEOUT = 60.0


class Reserve:
    """`wants` and `current` are a test's to change."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.vsphere = FakeVSphere(self.done)
        assert self.vsphere.parent is not None
        self.wants = [Standby(SMALL, 2)]
        self.known = True
        self.held: set[str] = set()  # morefs that we are connected to
        self.current = {self.vsphere.parent.marks.parent_id}
        self.clock = LoopClock()
        self.controller: StandbyController
        self.inventory: Inventory
        self.addresses: PodVMAddresses
        self.fits: Callable[[VMAddresses], bool] = lambda addresses: self.addresses.fits(addresses)
        self._running: asyncio.Task[None] | None = None

    async def _hold(self, vm: PodVM) -> None:
        self.held.add(vm.moref)
        try:
            await asyncio.Event().wait()
        finally:
            self.held.discard(vm.moref)

    def start(self) -> None:
        """A process begins: it knows nothing but what it is shown."""
        self.inventory = Inventory("c", "v")
        self.addresses = PodVMAddresses(
            parse_ranges(["10.0.0.5-10.0.0.50"]), [parse_ranges(["10.1.0.5-10.1.0.50"])], self.inventory.addresses
        )
        ports = StandbyPorts(
            known=lambda: self.known,
            place=self._place,
            lend=lambda _: contextlib.nullcontext(),
            is_current=lambda origin: origin.parent_id in self.current,
            reserve=lambda holder: self.addresses.reserve(holder, ""),
            fits=lambda addresses: self.fits(addresses),
            release=self.addresses.release,
            facts=self._facts,
            hold=self._hold,
        )
        self.controller = StandbyController(
            make_identity(namespace="", name="", uid=""),
            self.inventory,
            cast("Any", self.vsphere),
            lambda: self.wants,
            ports,
            self.clock,
            REPORT_TIMEOUT,
        )
        self._running = asyncio.create_task(self.controller.run())
        self.vsphere.connect(self._tell)

    async def stop(self) -> None:
        self.vsphere.listener = None
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def ready(self, count: int) -> None:
        await self.until(lambda: self.controller.ready_count() == count)

    async def until(self, condition: Callable[[], object], within: float = 300.0) -> None:
        ends = self.clock.monotonic() + within
        while not condition():
            assert self.clock.monotonic() < ends, f"not so within {within} s: {self.vsphere.vms}; {self.done[-20:]}"
            await asyncio.sleep(0.01)

    def take(self, uid: str = "uid-1", **plan: Any) -> PodVM | None:
        return self.controller.take(make_plan(uid=uid, **plan))

    async def bind(self, vm: PodVM, uid: str = "uid-1") -> None:
        """What `pod_controller.making` does with one that it has taken."""
        plan: PodPlan = make_plan(uid=uid)
        identity = make_identity(uid=uid)
        assert vm.origin is not None
        facts = self._facts(
            identity=identity,
            clone_id=vm.clone_id,
            hostname=plan.hostname,
            addresses=VMAddresses(vm.address, vm.pod_addresses),
            origin=vm.origin,
            seed=b"",
        )
        await self.vsphere.bind(vm.moref, vm.change_version, guestinfo.encode_bind(facts))
        self.controller.bound()

    def count(self, call: str) -> int:
        return sum(1 for done, _ in self.done if done == call)

    def _tell(self, event: InventoryEvent) -> None:
        self.inventory.apply(event, self.clock.monotonic())
        self.controller.wake()

    def _place(self, demand: Demand) -> ParentVM:
        parent = self.vsphere.parent
        if parent is None or demand != SMALL:
            raise NoParentReady("its parent is being made")
        return parent

    def _facts(self, *, addresses: VMAddresses, **facts: Any) -> CloneFacts:
        return CloneFacts(
            **facts,
            network=GuestNetwork(addresses.management, 24, None),
            pod_network=make_pod_network(*addresses.pods),
            client_ca_pem="PEM",
            now=self.clock.now().timestamp(),
        )
