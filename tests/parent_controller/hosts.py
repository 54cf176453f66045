"""Hosts with parents, in memory: what the parent controller asks of a vSphere, and a node's wants that a test can
change.

A parent boots for a while and freezes, as its agent does it; a clone of it is nobody's business here.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, cast

from provider import errors, guestinfo
from provider.parent_controller import ParentController, ParentInventory, Wants
from provider.parent_controller.steps import Owner
from provider.parent_slots import Demand, Image, Slot, wanted
from provider.parentvm import (
    HostChanged,
    MakeParent,
    ParentAppeared,
    ParentKey,
    ParentPhase,
    ParentReport,
    ParentVanished,
    ParentVM,
)
from provider.podvm import InventoryEvent, Lost, Synced
from provider.power import PowerState
from provider.vm_class import VMClass
from tests.builders import make_host, make_vm_class
from tests.pod_controller.hurried_loop import LoopClock

BOOT_SECONDS = 30.0
TASK_SECONDS = 1.0
LAG_SECONDS = 0.1


class Hosts:
    """`podvm.VSphere` for parents, and the controller of one virtual node."""

    def __init__(self) -> None:
        self.hosts = {name: make_host(name) for name in ("host-1", "host-2")}
        self.parents: dict[str, ParentVM] = {}
        self.requests: list[MakeParent] = []
        self.failures: list[errors.ProviderError] = []
        self.agent_fails = ""
        self.most_at_once = 0
        self.classes: list[VMClass] = [make_vm_class("small")]
        self.images: dict[str, Image] = {"photon": Image("photon", source="vm-9")}
        self.offered = ["photon"]
        self.prewarm = True
        self.max_age = 0.0
        self.slow_power_on = 0.0
        self.powered_on: list[str] = []
        self.destroy_fails: errors.ProviderError | None = None
        self.destroys = 0
        self.forks_crash = False
        self.addresses: set[str] = set()
        self.clock = LoopClock()
        self.controller: ParentController
        self.inventory: ParentInventory
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None
        self._connected = False
        self._number = 10

    def start(self) -> None:
        """A process begins: it knows nothing but what it is shown."""
        self.inventory = ParentInventory("c", "v")
        self.controller = ParentController(
            Owner("c", "v", "vch"),
            self.inventory,
            cast("Any", self),
            Wants(self._wants, at_once=2, timeout=600.0),
            self,
            self.clock,
            lambda: None,
        )
        self._running = asyncio.create_task(self.controller.run())
        self.connect()

    async def stop(self) -> None:
        self._connected = False
        for task in (*self._tasks, self._running):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def connect(self) -> None:
        self._connected = True
        for host in self.hosts.values():
            self.tell(HostChanged(host))
        for vm in self.parents.values():
            self.tell(ParentAppeared(vm))
        self.tell(Synced())

    def disconnect(self) -> None:
        self.tell(Lost(errors.VCenterUnreachable("the watch broke")))
        self._connected = False

    def tell(self, event: InventoryEvent) -> None:
        if self._connected:
            self.inventory.apply(event, self.clock.monotonic())
            self.controller.inventory_changed(event)

    # What a test does and sees.

    async def until(self, condition: Callable[[], object], within: float = 300.0) -> None:
        ends = self.clock.monotonic() + within
        while not condition():
            assert self.clock.monotonic() < ends, f"not so within {within} s: {list(self.parents.values())}"
            await asyncio.sleep(0.05)

    async def all_ready(self, within: float = 300.0) -> None:
        await self.until(
            lambda: self.controller.slots and self.controller.ready_count() == len(self.controller.slots), within
        )

    def change(self, moref: str, **fields: Any) -> None:
        self.parents[moref] = replace(self.parents[moref], **fields)
        self._later(LAG_SECONDS, lambda: self.tell(ParentAppeared(self.parents[moref])))

    def change_host(self, moref: str, **fields: Any) -> None:
        self.hosts[moref] = replace(self.hosts[moref], **fields)
        self.tell(HostChanged(self.hosts[moref]))

    def on(self, host: str) -> list[ParentVM]:
        return [vm for vm in self.parents.values() if vm.host == host]

    # VSphere.

    async def make_parent(self, request: MakeParent) -> str:
        if self.failures:
            raise self.failures.pop(0)
        self.requests.append(request)
        self._number += 1
        moref = f"vm-{self._number}"
        state = PowerState.ON if request.fork else PowerState.OFF
        await asyncio.sleep(TASK_SECONDS)
        made = guestinfo.decode_parent(
            moref,
            request.name,
            state,
            request.extra_config,
            frozen=False,
            host=request.host,
            cpus=request.cpus,
            memory_mib=request.memory_mib,
        )
        assert made is not None
        self.parents[moref] = made
        self.change(moref)
        if request.fork:
            goes_on = self._crash if self.forks_crash else self._freeze
            self._later(BOOT_SECONDS / 10, lambda: goes_on(moref))
        return moref

    async def power_on(self, moref: str) -> None:
        self.powered_on.append(moref)
        await asyncio.sleep(self.slow_power_on)
        self.change(moref, power_state=PowerState.ON)
        booting = sum(1 for vm in self.parents.values() if vm.power_state is PowerState.ON and not vm.frozen)
        self.most_at_once = max(self.most_at_once, booting)
        self._later(BOOT_SECONDS, lambda: self._freeze(moref))

    async def power_off(self, moref: str) -> None:
        if moref in self.parents:
            self.change(moref, power_state=PowerState.OFF, frozen=False)

    async def destroy(self, moref: str) -> None:
        self.destroys += 1
        if self.destroy_fails is not None:
            raise self.destroy_fails
        if moref in self.parents:
            assert self.parents[moref].power_state is PowerState.OFF
            del self.parents[moref]
            self._later(LAG_SECONDS, lambda: self.tell(ParentVanished(moref)))

    # Addresses.

    def lend(self, holder: str) -> Mapping[str, Any]:
        self.addresses.add(holder)
        return {"address": "10.0.0.9/24", "gateway": None, "nameservers": []}

    def give_back(self, holder: str) -> None:
        self.addresses.discard(holder)

    def _wants(self, hosts: Collection[str], demands: Collection[Demand]) -> Mapping[ParentKey, Slot]:
        return wanted(
            hosts=hosts,
            classes=self.classes,
            images=self.images,
            offered=self.offered,
            common={},
            prewarm=self.prewarm,
            demands=demands,
            max_age=self.max_age,
        )

    def _crash(self, moref: str) -> None:
        self.change(moref, power_state=PowerState.OFF)

    def _freeze(self, moref: str) -> None:
        vm = self.parents.get(moref)
        if vm is None or vm.power_state is not PowerState.ON:
            return
        if self.agent_fails:
            self.change(moref, report=ParentReport(vm.marks.parent_id, ParentPhase.FAILED, self.agent_fails))
        else:
            self.change(moref, frozen=True, report=ParentReport(vm.marks.parent_id, ParentPhase.WARM))

    def _later(self, seconds: float, what: Callable[[], object]) -> None:
        async def do() -> None:
            await asyncio.sleep(seconds)
            with contextlib.suppress(KeyError):
                what()

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
