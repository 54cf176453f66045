"""Standby clones: thawed, with address, key, pin and a connection, but without a Pod; bound to the next Pod that fits.

A Pod that gets one saves the clone and the thaw. Bound is bound: a VM serves one Pod UID in its whole life (invariant
I-02), so what was bound is never a standby clone again, and what is outdated or of no use is destroyed. Binding is a
Reconfigure fenced by `changeVersion`: of two that reach for one VM, one gets it.
"""

import asyncio
import contextlib
import functools
import os
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

import structlog

from provider import errors, guestinfo, metrics
from provider.addresses import VMAddresses
from provider.backoff import Backoff
from provider.clock import Clock
from provider.parent_slots import Demand
from provider.parentvm import ParentVM
from provider.plan import PodPlan
from provider.pod_controller.inventory import Inventory, Seen
from provider.podvm import CloneOrigin, CloneRequest, GuestPhase, PodIdentity, PodVM, PowerState, VSphere
from provider.standby_links import StandbyLinks
from provider.waiting import wait_until

_NAME_LIMIT = 79


@dataclass(frozen=True, slots=True)
class Standby:
    """What is wanted: so many clones of that kind."""

    demand: Demand
    count: int


@dataclass(frozen=True, slots=True)
class StandbyPorts:
    """The ways out: choose a parent, reserve and release addresses, facts for a clone's birth."""

    known: Callable[[], bool]  # whether it is known which parents are current
    place: Callable[[Demand], ParentVM]
    lend: Callable[[ParentVM], contextlib.AbstractContextManager[None]]
    is_current: Callable[[CloneOrigin], bool]
    reserve: Callable[[str], VMAddresses]
    fits: Callable[[VMAddresses], bool]  # whether these would be given now
    release: Callable[[str], None]
    facts: Callable[..., guestinfo.CloneFacts]
    hold: Callable[[PodVM], Coroutine[object, object, None]]  # be connected to it


class StandbyController:
    """One virtual node's."""

    def __init__(
        self,
        owner: PodIdentity,
        inventory: Inventory,
        vsphere: VSphere,
        wants: Callable[[], Sequence[Standby]],
        ports: StandbyPorts,
        clock: Clock,
        report_timeout: float,
    ) -> None:
        self.hits = 0
        self.misses = 0
        self._owner = owner
        self._inventory = inventory
        self._vsphere = vsphere
        self._wants = wants
        self._ports = ports
        self._clock = clock
        self._report_timeout = report_timeout
        self._links = StandbyLinks(ports.hold)
        self._changed = asyncio.Event()
        self._taken: set[str] = set()  # morefs that a Pod is being bound to, or was
        self._pins: dict[str, str] = {}  # written; the watch shows them a moment later
        self._making: Counter[Demand] = Counter()
        self._busy: set[str] = set()  # morefs that something is being done to
        self._tasks: set[asyncio.Task[None]] = set()
        self._backoffs: defaultdict[str | Demand, Backoff] = defaultdict(Backoff)
        self._log = structlog.get_logger(node=owner.node)

    def wake(self) -> None:
        """The inventory, a parent or a class may have changed."""
        self._changed.set()

    def hurry(self) -> None:
        """Something changed that may help: what has failed is tried again at once."""
        for backoff in self._backoffs.values():
            backoff.hurry()
        self.wake()

    def desired_count(self) -> int:
        return sum(each.count for each in self._wants())

    def ready_count(self) -> int:
        return sum(1 for seen in self._free() if self._ready(seen.vm))

    def take(self, plan: PodPlan) -> PodVM | None:
        """A standby clone for a Pod, which nobody else gets; None if there is none."""
        demand = Demand(plan.image, plan.vm_class.name, plan.shares)
        for seen in self._free():
            if self._ready(seen.vm) and _demand(seen.vm) == demand and self._current(seen.vm):
                self._taken.add(seen.vm.moref)
                self.wake()
                return seen.vm
        return None

    def bound(self) -> None:
        """What was taken has its Pod now."""
        self._count(hit=True)

    def cloned(self, plan: PodPlan) -> None:
        """A VM had to be cloned for a Pod. A miss, if there should have been a standby clone."""
        demand = Demand(plan.image, plan.vm_class.name, plan.shares)
        if any(each.demand == demand and each.count for each in self._wants()):
            self._count(hit=False)

    def give_back(self, vm: PodVM) -> None:
        """Binding it failed. Should it be bound all the same, `changeVersion` keeps the next one off it."""
        self._taken.discard(vm.moref)
        self.wake()

    async def run(self) -> None:
        """Until cancelled; standby clones stay as they are then."""
        try:
            while True:
                self._changed.clear()
                until = self._look()
                await wait_until(until, self._changed, self._clock)
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._links.close()

    def _look(self) -> float | None:
        if not self._inventory.synced or not self._ports.known():
            return None
        now = self._clock.monotonic()
        self._taken &= {seen.vm.moref for seen in self._inventory.standbys()}
        wanted = {each.demand: each.count for each in self._wants()}
        untils: list[float] = []
        there: dict[Demand, int] = defaultdict(int)
        for seen in self._free():
            vm, demand = seen.vm, _demand(seen.vm)
            why = self._useless(seen, now)
            if why is None and there[demand] >= wanted.get(demand, 0):
                why = "it is not wanted any more"
            if why is not None:
                untils += self._begin(vm.moref, functools.partial(self._destroy, vm, why))
                continue
            there[demand] += 1
            if not self._pin(vm):
                if vm.report is not None:
                    untils += self._begin(vm.moref, functools.partial(self._write_pin, vm))
                else:
                    untils.append(seen.since + self._report_timeout)
        self._links.keep(seen.vm for seen in self._free() if self._ready(seen.vm))
        for demand, count in wanted.items():
            for _ in range(there[demand] + self._making[demand], count):
                untils += self._begin(demand, functools.partial(self._clone, demand))
        return min(untils, default=None)

    def _free(self) -> list[Seen]:
        """Those that something can be done with: a lost host's are as good as gone until it is back."""
        return [seen for seen in self._inventory.standbys() if seen.vm.connected and seen.vm.moref not in self._taken]

    def _ready(self, vm: PodVM) -> bool:
        # Its pin has to be seen, not only written: what is seen is of one version, and binding is fenced by that.
        return vm.power_state is PowerState.ON and vm.pin is not None and vm.moref not in self._busy

    def _pin(self, vm: PodVM) -> str | None:
        return vm.pin or self._pins.get(vm.moref)

    def _current(self, vm: PodVM) -> bool:
        fits = self._ports.fits(VMAddresses(vm.address, vm.pod_addresses))
        return fits and vm.origin is not None and self._ports.is_current(vm.origin)

    def _useless(self, seen: Seen, now: float) -> str | None:
        vm = seen.vm
        if vm.power_state is not PowerState.ON:
            return f"it is {vm.power_state.value}"
        if vm.report is not None and vm.report.phase is GuestPhase.REFUSED:
            return f"its guest refused: {vm.report.message or 'no reason given'}"
        if vm.report is None and not self._pin(vm) and now >= seen.since + self._report_timeout:
            return f"its agent was silent for {self._report_timeout:.0f} s"
        if not self._ports.fits(VMAddresses(vm.address, vm.pod_addresses)):
            return "its addresses are no longer of the ranges"
        return None if self._current(vm) else "its parent is outdated or gone"

    def _begin(self, what: str | Demand, work: Callable[[], Coroutine[object, object, None]]) -> list[float]:
        """Start the work on a VM, or a clone for a demand, unless it has failed just now: then the instant to try."""
        until = self._backoffs[what].until if what in self._backoffs else 0.0
        if self._clock.monotonic() < until:
            return [until]
        if what in self._busy:
            return []
        if isinstance(what, Demand):
            self._making[what] += 1
        else:
            self._busy.add(what)
        task = asyncio.create_task(self._attempt(what, work()), name=f"standby {what}")
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._done(what, task))
        return []

    def _done(self, what: str | Demand, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if isinstance(what, Demand):
            self._making[what] -= 1
        else:
            self._busy.discard(what)
        self.wake()

    async def _attempt(self, what: str | Demand, work: Coroutine[object, object, None]) -> None:
        try:
            await work
            self._backoffs.pop(what, None)
        except errors.ProviderError as error:
            self._failed(what, error)
        except Exception:
            self._log.exception("step of a standby clone failed", of=str(what))
            self._failed(what, errors.TaskFailed("a defect of the operator's, see its log"))

    def _failed(self, what: str | Demand, error: errors.ProviderError) -> None:
        delay = self._backoffs[what].failed(error, self._clock.monotonic())
        metrics.pods.STEP_FAILURES.labels(self._owner.node, "standby", error.reason).inc()
        self._log.warning(
            "standby clone failed", of=str(what), reason=error.reason, error=str(error), retry_in=round(delay, 1)
        )

    async def _clone(self, demand: Demand) -> None:
        parent = self._ports.place(demand)
        clone_id = secrets.token_hex(16)
        origin = CloneOrigin(parent.marks.parent_id, demand.image, demand.vm_class, demand.namespace)
        try:
            facts = self._ports.facts(
                identity=self._owner,
                clone_id=clone_id,
                hostname="standby",
                addresses=self._ports.reserve(clone_id),
                origin=origin,
                seed=os.urandom(64),
            )
            name = f"{self._owner.node}-standby-{demand.vm_class}"[: _NAME_LIMIT - 9] + f"-{clone_id[:8]}"
            request = CloneRequest(parent.moref, name, "", guestinfo.encode_clone(facts))
            with self._ports.lend(parent), metrics.vms.cloning(self._owner.node, demand.vm_class, self._clock):
                moref = await self._vsphere.clone(request)
            self._log.info("standby vm cloned", vm=name, moref=moref, parent=parent.name)
            await self._inventory.appears(moref)
        finally:
            self._ports.release(clone_id)

    async def _write_pin(self, vm: PodVM) -> None:
        assert vm.report is not None
        await self._vsphere.pin(vm.moref, vm.report.fingerprint, vm.identity.namespace)
        self._pins[vm.moref] = vm.report.fingerprint

    async def _destroy(self, vm: PodVM, why: str) -> None:
        self._log.info("standby vm destroyed", vm=vm.name, why=why)
        await self._vsphere.power_off(vm.moref)
        await self._vsphere.destroy(vm.moref)
        self._inventory.destroyed(vm.moref)
        self._pins.pop(vm.moref, None)

    def _count(self, *, hit: bool) -> None:
        self.hits, self.misses = self.hits + hit, self.misses + (not hit)
        metrics.vms.STANDBY.labels(self._owner.node, "hit" if hit else "miss").inc()


def _demand(vm: PodVM) -> Demand:
    if vm.origin is None:  # by somebody's hand: nobody wants such a one
        return Demand("", "")
    return Demand(vm.origin.image, vm.origin.vm_class, vm.origin.namespace)


def wanted(counts: Mapping[str, int], image_of: Mapping[str, str]) -> list[Standby]:
    """By class: how many, and of which image; shared by the whole VCH."""
    return [Standby(Demand(image_of[name], name), count) for name, count in counts.items() if count]
