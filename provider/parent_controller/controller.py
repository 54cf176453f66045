"""Keeps the parents of one virtual node: looks at all slots after each change, and takes the steps side by side.

Decisions are `parent_lifecycle`'s, the ways to vSphere the neighbour's (`steps`). Here are only the limit on how many
are made at once, and the memory that a decision needs: what is under way, what has failed and until when it is left
alone.
"""

import asyncio
import contextlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from provider import errors, metrics, parent_lifecycle
from provider.backoff import Backoff
from provider.clock import Clock
from provider.parent_controller.inventory import ParentInventory
from provider.parent_controller.steps import Addresses, Owner, ParentSteps
from provider.parent_lifecycle import Decision, Make, PowerOn, Retire, SlotFacts
from provider.parent_slots import Demand, Slot
from provider.parentvm import ParentKey, ParentVM
from provider.podvm import InventoryEvent, PowerState, VSphere
from provider.waiting import wait_until

DEMAND_LASTS = 600.0
"""Seconds for which a parent is wanted after the last Pod that asked for it, where parents are made on demand."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What the VCH wants of parents. `slots` raises ConfigurationError where that cannot be said."""

    slots: Callable[[Collection[str], Collection[Demand]], Mapping[ParentKey, Slot]]
    at_once: int
    timeout: float = 1800.0


class ParentController:
    """One virtual node's parents."""

    def __init__(
        self,
        owner: Owner,
        inventory: ParentInventory,
        vsphere: VSphere,
        wants: Wants,
        addresses: Addresses,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self.decisions: Mapping[ParentKey, Decision] = {}
        self.slots: Mapping[ParentKey, Slot] = {}
        self.error: errors.ProviderError | None = None  # why nothing can be wanted
        self._looked = False
        self._owner = owner
        self._inventory = inventory
        self._steps = ParentSteps(owner, inventory, vsphere, addresses, clock, self.lend)
        self._wants = wants
        self._clock = clock
        self._on_change = on_change
        self._changed = asyncio.Event()
        self._tasks: dict[ParentKey | str, asyncio.Task[None]] = {}  # by slot (being made) or moref
        self._backoffs: defaultdict[ParentKey | str, Backoff] = defaultdict(Backoff)  # of slots; morefs: to retire it
        self._failures: dict[ParentKey, errors.ProviderError] = {}
        self._lent: Counter[str] = Counter()  # morefs that are being cloned
        self._distrusted: set[str] = set()  # morefs that vSphere does not clone any more
        self._begun: dict[ParentKey, float] = {}  # slots whose parent is being made, since when
        self._demands: dict[Demand, float] = {}
        self._log = structlog.get_logger(node=owner.node)

    # Facts.

    def inventory_changed(self, event: InventoryEvent) -> None:
        """vSphere shows something new, which `inventory` has taken in."""
        self._steps.inventory_changed(event)
        self.wake()

    def wake(self) -> None:
        """Something may have changed: the VCH's classes or images, a parent, a host."""
        self._changed.set()

    def hurry(self) -> None:
        """Something changed that may make what failed succeed."""
        for backoff in self._backoffs.values():
            backoff.hurry()
        self.wake()

    # What Pods need.

    def ready(self, demand: Demand) -> Sequence[ParentVM]:
        """Parents that can be cloned for it now."""
        return [
            decision.ready
            for key, decision in self.decisions.items()
            if decision.ready is not None and Demand(key.image, key.vm_class, key.namespace) == demand
        ]

    def known(self) -> bool:
        """Whether `slots` says which parents are wanted, be it as of a moment ago."""
        return self._looked

    def ask(self, demand: Demand) -> None:
        """A Pod waits for such a parent."""
        new = demand not in self._demands
        self._demands[demand] = self._clock.monotonic()
        if new:
            self.wake()

    def waits_for(self, demand: Demand) -> str:
        """For people: which step of getting such a parent ready fails or is under way."""
        if self.error is not None:
            return str(self.error)
        texts = []
        for key, decision in self.decisions.items():
            if Demand(key.image, key.vm_class, key.namespace) != demand or decision.ready:
                continue
            failure = self._failures.get(key)
            host = self._inventory.hosts.get(key.host)
            what = f"it failed: {failure}" if failure else decision.waits_for
            texts.append(f"on {host.name if host else key.host}: {what}")
        waiting = "; ".join(texts) or "no host is known yet"
        return f"no parent of image {demand.image} and class {demand.vm_class} is ready: {waiting}"

    def distrust(self, parent: ParentVM) -> None:
        """vSphere does not clone it any more: another one is made in its place."""
        self._distrusted.add(parent.moref)
        self.wake()

    def failure(self, image: str = "") -> errors.ProviderError | None:
        """The error of a parent (of that image) that could not be made, if any is wanted and not ready."""
        wanted = (key for key in self.slots if image in ("", key.image))
        return next((self._failures[key] for key in wanted if key in self._failures), None)

    @contextlib.contextmanager
    def lend(self, parent: ParentVM) -> Iterator[None]:
        """It is being cloned: it is not retired meanwhile."""
        self._lent[parent.moref] += 1
        try:
            yield
        finally:
            self._lent[parent.moref] -= 1
            if not self._lent[parent.moref]:
                del self._lent[parent.moref]
                self.wake()

    # The loop.

    async def run(self) -> None:
        """Until cancelled; parents stay as they are then."""
        try:
            while True:
                self._changed.clear()
                until = self._look()
                self._on_change()
                await wait_until(until, self._changed, self._clock)
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _look(self) -> float | None:
        """Decide all slots and begin what can be begun; the instant at which to look again."""
        if not self._inventory.synced:
            return None
        now = self._clock.monotonic()
        self._demands = {demand: at for demand, at in self._demands.items() if now < at + DEMAND_LASTS}
        try:
            self.slots = self._wants.slots(self._inventory.hosts, self._demands)
            self.error = None
            self._looked = True
        except errors.ProviderError as error:
            self.error = error  # what is not known to be wanted is not known to be unwanted either
            return None
        keys = {*self.slots, *(vm.marks.key for vm in self._inventory.parents)}
        self.decisions = {key: self._decide(key, now) for key in sorted(keys, key=self._bases_first)}
        untils = [decision.until for decision in self.decisions.values() if decision.until is not None]
        untils += [at + DEMAND_LASTS for at in self._demands.values()]
        for key, decision in self.decisions.items():
            for step in decision.steps:
                if (wait := self._begin(key, step, now)) is not None:
                    untils.append(wait)
        return min(untils, default=None)

    def ready_count(self) -> int:
        """Wanted slots that have a ready parent."""
        return sum(1 for key in self.slots if (found := self.decisions.get(key)) and found.ready)

    def _bases_first(self, key: ParentKey) -> tuple[int, ParentKey]:
        depth, slot = 0, self.slots.get(key)
        while slot is not None and slot.base is not None:
            depth, slot = depth + 1, self.slots.get(slot.base)
        return depth, key

    def _decide(self, key: ParentKey, now: float) -> Decision:
        slot, host = self.slots.get(key), self._inventory.hosts.get(key.host)
        base, unix = None, self._clock.now().timestamp()
        if slot is not None and slot.base is not None:
            found = [vm for vm, _ in self._inventory.of(slot.base) if parent_lifecycle.can_be_cloned(vm)]
            wanted = self.slots[slot.base]
            # A fork of an outdated base would be outdated as soon as it is made.
            base = next((vm for vm in found if wanted.fits(vm.marks, unix)), None)
        decision = parent_lifecycle.decide(
            SlotFacts(
                slot=slot,
                parents=self._inventory.of(key),
                now=now,
                unix=unix,
                host_usable=host is not None and host.usable,
                base=base,
                busy={*self._lent, *(moref for moref in self._tasks if isinstance(moref, str))},
                making=key in self._tasks,
                distrusted=self._distrusted,
                timeout=self._wants.timeout,
            )
        )
        if decision.ready is not None and slot is not None and slot.fits(decision.ready.marks, unix):
            self._backoffs.pop(key, None)
            self._failures.pop(key, None)
            self._made(key, ready=True)
        return decision

    def _begin(self, key: ParentKey, step: parent_lifecycle.Step, now: float) -> float | None:
        """Start a step unless it is not its time; the instant at which it is."""
        under_way: ParentKey | str = key if isinstance(step, Make) else step.vm.moref
        if under_way in self._tasks:
            return None
        if isinstance(step, Retire) and now < (until := self._backoffs[under_way].until):
            return until
        if isinstance(step, Retire) and step.failed:  # now, since the next one may be made at once
            self._failed(key, "prepare_parent", errors.ParentFailed(f"{step.vm.name}: {step.why}"))
        if not isinstance(step, Retire):
            if now < self._backoffs[key].until:
                return self._backoffs[key].until
            if isinstance(step, Make) and self._preparing() >= self._wants.at_once:
                return None
        if isinstance(step, Make):
            self._begun[key] = now
        task = asyncio.create_task(self._attempt(key, step), name=f"{type(step).__name__.lower()} parent {key}")
        self._tasks[under_way] = task
        task.add_done_callback(lambda _: self._done(under_way))
        return None

    def _done(self, under_way: ParentKey | str) -> None:
        self._tasks.pop(under_way, None)
        self.wake()

    def _made(self, key: ParentKey, *, ready: bool) -> None:
        """What was begun to be made has come to its end."""
        if (begun := self._begun.pop(key, None)) is not None:
            metrics.parents.provisioned(self._owner.node, self._clock.monotonic() - begun, ready=ready)

    def _preparing(self) -> int:
        making = {key for key in self._tasks if isinstance(key, ParentKey)}
        warming = {vm.marks.key for vm in self._inventory.parents if vm.power_state is PowerState.ON and not vm.frozen}
        return len(making | warming)

    # The steps.

    async def _attempt(self, key: ParentKey, step: parent_lifecycle.Step) -> None:
        doing = f"{type(step).__name__.lower()}_parent"
        try:
            match step:
                case Make(slot, base):
                    await self._steps.make(slot, base)
                case PowerOn(vm):
                    await self._steps.power_on(vm)
                case Retire(vm, why):
                    await self._steps.retire(vm, why)
                    self._distrusted.discard(vm.moref)
                    self._backoffs.pop(vm.moref, None)
        except errors.ProviderError as error:
            self._failed(key, doing, error, step)
        except Exception:
            self._log.exception("step of a parent failed", step=doing, key=str(key))
            self._failed(key, doing, errors.TaskFailed("a defect of the operator's, see its log"), step)

    def _failed(
        self, key: ParentKey, doing: str, error: errors.ProviderError, step: parent_lifecycle.Step | None = None
    ) -> None:
        self._failures[key] = error
        if not (isinstance(step, Retire) and not step.failed):
            self._made(key, ready=False)
        spread = random.uniform(0.9, 1.1)  # noqa: S311 - jitter, not a secret
        backoff = self._backoffs[step.vm.moref if isinstance(step, Retire) else key]
        delay = backoff.failed(error, self._clock.monotonic(), spread)
        self._log.warning(
            "step failed", step=doing, key=str(key), reason=error.reason, error=str(error), retry_in=round(delay, 1)
        )
        metrics.pods.STEP_FAILURES.labels(self._owner.node, doing, error.reason).inc()
