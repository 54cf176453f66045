"""The life of the parents of one slot: what is wanted, what vSphere shows → the steps. Pure.

Theory of operation
-------------------
A slot (`parent_slots.Slot`) wants one parent that is *ready*: frozen at its freeze point on the slot's host and made
from what the slot says (the digest). Nothing is remembered: each time the steps follow from what is there, so that a
restart, a lost reply or an admin's hand needs no code of its own.

    the parent is                      wanted slot                                unwanted slot
    ─────────────────────────────────  ─────────────────────────────────────────  ─────────────
    missing                            Make (its host usable, its base ready)     —
    on another host, of a failed       Retire, then as missing                    Retire
    agent, or not cloned by vSphere
    off                                PowerOn; a fork: Retire, then as missing   Retire
    on, not frozen                     Wait: its agent freezes it; Retire when    Retire
                                       that takes longer than `timeout`
    off, and still being made          Wait: who makes it switches it on          Retire
    frozen, digest is the slot's       ready                                      Retire
    frozen, outdated                   serves until another one is ready, then    Retire
                                       Retire
    one of several that are ready      Retire all but the first                   Retire

A VM with a parent's marks under another name is somebody's copy of it, and is not among them: it is never touched.

*Retire* is power-off and destroy. It touches no pod VM: a clone runs on by itself (vSphere Web Services SDK, "How the
Instant Clone Operation Works"). It waits while a clone of the parent is being made. On a host that is not usable
nothing is concluded and nothing is done: what is there comes back with the host.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from provider.parent_slots import Slot
from provider.parentvm import ParentVM
from provider.podvm import PowerState


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """All that the decision depends on. Instants are of one monotonic clock."""

    slot: Slot | None  # None: not wanted
    parents: Sequence[tuple[ParentVM, float]]  # of this key, each with the instant since which it is as it is
    now: float
    unix: float = 0.0  # the same instant in unix seconds, for ages
    host_usable: bool = True
    base: ParentVM | None = None  # the ready parent that a fork is cloned from
    busy: Collection[str] = ()  # morefs that a clone or another step is under way for
    making: bool = False  # a parent for this slot is being made
    distrusted: Collection[str] = ()  # morefs that vSphere will not clone any more, whatever their state
    timeout: float = 1800.0  # seconds from power-on to frozen


@dataclass(frozen=True, slots=True)
class Make:
    """Make a parent. `base`: instant-clone it from that one; None: clone the image's template."""

    slot: Slot
    base: ParentVM | None


@dataclass(frozen=True, slots=True)
class PowerOn:
    """It boots to its freeze point."""

    vm: ParentVM


@dataclass(frozen=True, slots=True)
class Retire:
    """Power off and destroy."""

    vm: ParentVM
    why: str
    failed: bool = False  # it was of no use: counts against the slot, so that it is not made again without end


Step = Make | PowerOn | Retire


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, what can be cloned from, and when to look again."""

    steps: tuple[Step, ...] = ()
    ready: ParentVM | None = None
    until: float | None = None
    waits_for: str = ""  # for people: why there is no ready parent


def decide(facts: SlotFacts) -> Decision:
    """The decision for one slot."""
    if facts.slot is None:
        return Decision(tuple(Retire(vm, "it is not wanted any more") for vm, _ in _idle(facts)))
    if not facts.host_usable:
        return Decision(waits_for="its host is not connected, or in maintenance")
    steps: list[Step] = []
    ready = _ready(facts, facts.slot)
    untils: list[float] = []
    coming = facts.making
    for vm, since in facts.parents:
        if ready is not None and vm.moref == ready.moref:
            continue
        step, until = _one(facts, facts.slot, vm, since, ready)
        if until is not None:
            untils.append(until)
        if step is None or isinstance(step, PowerOn):
            coming = coming or vm.marks.digest == facts.slot.digest
        if step is not None and vm.moref not in facts.busy:
            steps.append(step)
    current = ready is not None and facts.slot.fits(ready.marks, facts.unix)
    if ready is not None and current and facts.slot.max_age:
        untils.append(facts.now + facts.slot.ends(ready.marks) - facts.unix)
    waits_for = "" if ready is not None else "its parent is being made"
    if not current and not coming:
        if facts.slot.base is None or facts.base is not None:
            steps.append(Make(facts.slot, facts.base))
        elif ready is None:
            waits_for = f"the parent of {facts.slot.base.image}, of which it is a fork, is not ready"
    return Decision(tuple(steps), ready, min(untils, default=None), waits_for)


def _idle(facts: SlotFacts) -> list[tuple[ParentVM, float]]:
    return [(vm, since) for vm, since in facts.parents if vm.moref not in facts.busy]


def _ready(facts: SlotFacts, slot: Slot) -> ParentVM | None:
    """The one to clone from: a current one before an outdated one, the oldest of each."""
    frozen = [vm for vm, _ in facts.parents if can_be_cloned(vm) and vm.moref not in facts.distrusted]
    current = [vm for vm in frozen if slot.fits(vm.marks, facts.unix)]
    return next(iter(current or frozen), None)


def can_be_cloned(vm: ParentVM) -> bool:
    """At its freeze point, on its own host."""
    return vm.frozen and vm.power_state is PowerState.ON and vm.host == vm.marks.key.host and not vm.failed


def _one(
    facts: SlotFacts, slot: Slot, vm: ParentVM, since: float, ready: ParentVM | None
) -> tuple[Step | None, float | None]:
    """The step for a parent that is not the ready one, or the instant up to which it has time."""
    if vm.host != slot.key.host:
        return Retire(vm, "it is on another host"), None
    if vm.failed:
        why = vm.report.message if vm.report else ""
        return Retire(vm, f"its agent failed: {why or 'no reason given'}", failed=True), None
    if vm.moref in facts.distrusted:
        return Retire(vm, "vSphere does not clone it any more", failed=True), None
    # One that is not frozen yet is not too old: it would never be ready where preparing takes longer than that.
    outdated = vm.marks.digest != slot.digest or (vm.frozen and slot.too_old(vm.marks, facts.unix))
    if ready is not None and (outdated or slot.fits(ready.marks, facts.unix)):
        return Retire(vm, "it is outdated" if outdated else "another one is ready"), None
    if outdated:
        return Retire(vm, "it is outdated and was not ready"), None
    if vm.power_state is not PowerState.ON:
        if slot.base is not None:
            return Retire(vm, "it is off, and a fork that boots shares nothing with its base", failed=True), None
        return (None if facts.making else PowerOn(vm)), None
    if facts.now >= since + facts.timeout:
        return Retire(vm, f"it did not freeze within {facts.timeout:.0f} s", failed=True), None
    return None, since + facts.timeout
