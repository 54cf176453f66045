"""Keeps the parents of one virtual node: looks at all slots after each change, and takes the steps side by side.

Decisions are `parent_lifecycle`'s. Here are only the ways to vSphere, the limit on how many are made at once, and the
memory that a decision needs: what is under way, what has failed and until when it is left alone.
"""

import asyncio
import base64
import contextlib
import os
import random
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from provider import errors, guestinfo, metrics, parent_lifecycle, parent_message
from provider.backoff import Backoff
from provider.clock import Clock
from provider.parent_controller.inventory import ParentInventory
from provider.parent_lifecycle import Decision, Make, PowerOn, Retire, SlotFacts
from provider.parent_slots import Demand, Slot
from provider.parentvm import MakeParent, ParentAppeared, ParentKey, ParentMarks, ParentPhase, ParentVM, name_end
from provider.podvm import InventoryEvent, PowerState, VSphere

APPEARS_WITHIN = 60.0
"""Seconds from the end of a parent's task to its VM in the inventory watch."""
DEMAND_LASTS = 600.0
"""Seconds for which a parent is wanted after the last Pod that asked for it, where parents are made on demand."""
_NAME_LIMIT = 79  # vSphere: names have fewer than 80 characters


class Addresses(Protocol):
    """Addresses for parents while they are prepared; the pod VMs' pool."""

    def lend(self, holder: str) -> Mapping[str, Any]:
        """The agent's `network` member. Raises AddressesExhausted."""

    def give_back(self, holder: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Wants:
    """What the VCH wants of parents. `slots` raises ConfigurationError where that cannot be said."""

    slots: Callable[[Collection[str], Collection[Demand]], Mapping[ParentKey, Slot]]
    at_once: int
    timeout: float = 1800.0


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose parents they are."""

    cluster: str
    vch: str
    node: str


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
        self._owner = owner
        self._inventory = inventory
        self._vsphere = vsphere
        self._wants = wants
        self._addresses = addresses
        self._clock = clock
        self._on_change = on_change
        self._changed = asyncio.Event()
        self._tasks: dict[ParentKey | str, asyncio.Task[None]] = {}  # by slot (being made) or moref
        self._backoffs: defaultdict[ParentKey, Backoff] = defaultdict(Backoff)
        self._failures: dict[ParentKey, errors.ProviderError] = {}
        self._appearing: dict[str, asyncio.Event] = {}
        self._lent: Counter[str] = Counter()  # morefs that are being cloned
        self._distrusted: set[str] = set()  # morefs that vSphere does not clone any more
        self._demands: dict[Demand, float] = {}
        self._log = structlog.get_logger(node=owner.node)

    # Facts.

    def inventory_changed(self, event: InventoryEvent) -> None:
        """vSphere shows something new, which `inventory` has taken in."""
        if isinstance(event, ParentAppeared) and (appearing := self._appearing.get(event.vm.moref)):
            appearing.set()
        self.wake()

    def wake(self) -> None:
        """Something may have changed: the VCH's classes or images, a parent, a host."""
        self._changed.set()

    # What Pods need.

    def ready(self, demand: Demand) -> Sequence[ParentVM]:
        """Parents that can be cloned for it now."""
        return [
            decision.ready
            for key, decision in self.decisions.items()
            if decision.ready is not None and Demand(key.image, key.vm_class, key.namespace) == demand
        ]

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

    def failure(self) -> errors.ProviderError | None:
        """The error of a parent that could not be made, if any is wanted and not ready."""
        return next((self._failures[key] for key in self.slots if key in self._failures), None)

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
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if until is None else max(0.0, until - self._clock.monotonic())):
                        await self._changed.wait()
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
        metrics.PARENTS.labels(node=self._owner.node, state="wanted").set(len(self.slots))
        metrics.PARENTS.labels(node=self._owner.node, state="ready").set(self.ready_count())
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
        base = None
        if slot is not None and slot.base is not None:
            found = [vm for vm, _ in self._inventory.of(slot.base) if parent_lifecycle.can_be_cloned(vm)]
            wanted = self.slots[slot.base].digest
            # A fork of an outdated base would be outdated as soon as it is made.
            base = next((vm for vm in found if vm.marks.digest == wanted), None)
        decision = parent_lifecycle.decide(
            SlotFacts(
                slot=slot,
                parents=self._inventory.of(key),
                now=now,
                host_usable=host is not None and host.usable,
                base=base,
                busy={*self._lent, *(moref for moref in self._tasks if isinstance(moref, str))},
                making=key in self._tasks,
                distrusted=self._distrusted,
                timeout=self._wants.timeout,
            )
        )
        if decision.ready is not None and decision.ready.marks.digest == (slot.digest if slot else ""):
            self._backoffs.pop(key, None)
            self._failures.pop(key, None)
        return decision

    def _begin(self, key: ParentKey, step: parent_lifecycle.Step, now: float) -> float | None:
        """Start a step unless it is not its time; the instant at which it is."""
        under_way: ParentKey | str = key if isinstance(step, Make) else step.vm.moref
        if under_way in self._tasks:
            return None
        if not isinstance(step, Retire):
            if now < self._backoffs[key].until:
                return self._backoffs[key].until
            if isinstance(step, Make) and self._preparing() >= self._wants.at_once:
                return None
        task = asyncio.create_task(self._attempt(key, step), name=f"{type(step).__name__.lower()} parent {key}")
        self._tasks[under_way] = task
        task.add_done_callback(lambda _: self._done(under_way))
        return None

    def _done(self, under_way: ParentKey | str) -> None:
        self._tasks.pop(under_way, None)
        self.wake()

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
                    await self._make(slot, base)
                case PowerOn(vm):
                    self._log.info("parent powered on", vm=vm.name)
                    await self._vsphere.power_on(vm.moref)
                case Retire(vm, why, failed):
                    await self._retire(key, vm, why, failed=failed)
        except errors.ProviderError as error:
            self._failed(key, doing, error)
        except Exception:
            self._log.exception("step of a parent failed", step=doing, key=str(key))
            self._failed(key, doing, errors.TaskFailed("a defect of the operator's, see its log"))

    async def _make(self, slot: Slot, base: ParentVM | None) -> None:
        parent_id = secrets.token_hex(16)
        owner = self._owner
        setup = slot.image.setup
        network = self._addresses.lend(parent_id) if parent_message.needs_network(setup) else None
        told = parent_message.message(
            parent_id=parent_id,
            node=owner.node,
            now=self._clock.now().timestamp(),
            seed=base64.b64encode(os.urandom(64)).decode(),
            setup=setup,
            network=network,
        )
        marks = ParentMarks(owner.cluster, owner.vch, parent_id, slot.key, slot.digest)
        request = MakeParent(
            name=self._name(slot, parent_id),
            source=base.moref if base else slot.image.source,
            host=slot.key.host,
            cpus=slot.vm_class.cpus,
            memory_mib=slot.vm_class.memory_mib,
            extra_config=guestinfo.encode_parent(marks, told),
            fork=base is not None,
        )
        self._log.info("making parent", vm=request.name, fork_of=base.name if base else None)
        with self.lend(base) if base else contextlib.nullcontext():
            moref = await self._vsphere.make_parent(request)
        if base is None:
            await self._vsphere.power_on(moref)
        await self._appears(moref)

    async def _appears(self, moref: str) -> None:
        """Only what the watch shows exists for `decide`; without this another one would be made at once."""
        if any(vm.moref == moref for vm in self._inventory.parents):
            return
        appeared = self._appearing[moref] = asyncio.Event()
        try:
            async with asyncio.timeout(APPEARS_WITHIN):
                await appeared.wait()
        except TimeoutError:
            raise errors.TaskFailed(f"the new parent {moref} did not appear in the VCH's folder") from None
        finally:
            del self._appearing[moref]

    async def _retire(self, key: ParentKey, vm: ParentVM, why: str, *, failed: bool) -> None:
        self._log.info("retiring parent", vm=vm.name, moref=vm.moref, why=why)
        if failed:
            self._failed(key, "prepare_parent", errors.ParentFailed(f"{vm.name}: {why}"))
        await self._vsphere.power_off(vm.moref)
        await self._vsphere.destroy(vm.moref)
        self._inventory.destroyed(vm.moref)
        self._distrusted.discard(vm.moref)
        self._addresses.give_back(vm.marks.parent_id)

    def _failed(self, key: ParentKey, doing: str, error: errors.ProviderError) -> None:
        self._failures[key] = error
        spread = random.uniform(0.9, 1.1)  # noqa: S311 - jitter, not a secret
        delay = self._backoffs[key].failed(error, self._clock.monotonic(), spread)
        self._log.warning(
            "step failed", step=doing, key=str(key), reason=error.reason, error=str(error), retry_in=round(delay, 1)
        )
        metrics.STEP_FAILURES.labels(step=doing, reason=error.reason).inc()

    def _name(self, slot: Slot, parent_id: str) -> str:
        """Names are for people, marks say what it is; the digits make it unique."""
        host = self._inventory.hosts.get(slot.key.host)
        words = [self._owner.node, "parent", slot.key.image, slot.key.vm_class, host.name if host else slot.key.host]
        text = "-".join(words).replace("/", "-").replace("\\", "-").replace("%", "-")
        end = name_end(parent_id)
        return f"{text[: _NAME_LIMIT - len(end)]}{end}"

    def addresses_done(self) -> None:
        """Addresses of parents that are prepared are free again."""
        for vm in self._inventory.parents:
            if vm.frozen or (vm.report is not None and vm.report.phase is ParentPhase.FAILED):
                self._addresses.give_back(vm.marks.parent_id)
