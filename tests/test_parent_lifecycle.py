"""A slot has one ready parent; what is not as it should be is replaced, and nothing is concluded from a lost host."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from provider.parent_lifecycle import Decision, Make, PowerOn, Retire, SlotFacts, can_be_cloned, decide
from provider.parentvm import ParentPhase, ParentReport, ParentVM
from provider.podvm import PowerState
from tests.builders import make_key, make_parent_vm, make_slot

SLOT = make_slot()
FORK = make_slot(make_key(image="fork"), base=make_key())


def facts(*parents: ParentVM, since: float = 900.0, **fields: Any) -> SlotFacts:
    return SlotFacts(**{"slot": SLOT, "now": 1000.0, **fields, "parents": [(vm, since) for vm in parents]})


def booting(moref: str = "vm-7", **fields: Any) -> ParentVM:
    return make_parent_vm(moref, **{"frozen": False, "report": None, **fields})


def test_a_missing_parent_is_made() -> None:
    assert decide(facts()).steps == (Make(SLOT, None),)


def test_it_is_not_made_twice() -> None:
    assert decide(facts(making=True)) == Decision(waits_for="its parent is being made")
    assert decide(facts(booting())).steps == ()


def test_a_parent_is_given_time_to_freeze_and_no_longer() -> None:
    assert decide(facts(booting(), timeout=600.0)).until == 1500.0
    (step,) = decide(facts(booting(), timeout=60.0)).steps[:1]
    assert isinstance(step, Retire)
    assert step.failed


def test_a_frozen_parent_is_ready() -> None:
    vm = make_parent_vm()
    assert decide(facts(vm)) == Decision(ready=vm)


def test_a_parent_that_is_off_is_switched_on() -> None:
    off = make_parent_vm(power_state=PowerState.OFF, frozen=False)
    assert decide(facts(off)).steps == (PowerOn(off),)


def test_a_fork_that_is_off_is_made_anew_since_it_would_share_nothing() -> None:
    off = make_parent_vm(key=FORK.key, power_state=PowerState.OFF, frozen=False)
    base = make_parent_vm("vm-1")
    steps = decide(facts(off, slot=FORK, base=base)).steps
    assert [type(step) for step in steps] == [Retire, Make]
    assert steps[1] == Make(FORK, base)


def test_a_fork_waits_for_its_base() -> None:
    decision = decide(facts(slot=FORK))
    assert decision.steps == ()
    assert "photon" in decision.waits_for


def test_a_parent_whose_agent_failed_is_retired_and_counts_as_a_failure() -> None:
    failed = make_parent_vm(frozen=False, report=ParentReport("x", ParentPhase.FAILED, "preloadImages: no such image"))
    retire = decide(facts(failed)).steps[0]
    assert isinstance(retire, Retire)
    assert retire.failed
    assert "no such image" in retire.why


def test_a_parent_that_was_moved_is_replaced() -> None:
    moved = make_parent_vm(host="host-2")
    assert not can_be_cloned(moved)
    assert [type(step) for step in decide(facts(moved)).steps] == [Retire, Make]


def test_an_outdated_parent_serves_until_another_is_ready() -> None:
    old, new = make_parent_vm("vm-1", digest="d0"), make_parent_vm("vm-2")
    alone = decide(facts(old))
    assert alone.ready == old
    assert alone.steps == (Make(SLOT, None),)
    meanwhile = decide(facts(old, booting("vm-2")))
    assert (meanwhile.ready, meanwhile.steps) == (old, ())
    both = decide(facts(old, new))
    assert both.ready == new
    assert both.steps == (Retire(old, "it is outdated"),)


def test_an_outdated_parent_that_is_not_ready_is_of_no_use() -> None:
    steps = decide(facts(booting(digest="d0"))).steps
    assert [type(step) for step in steps] == [Retire, Make]


def test_a_parent_that_is_being_cloned_is_left_alone() -> None:
    old, new = make_parent_vm("vm-1", digest="d0"), make_parent_vm("vm-2")
    assert decide(facts(old, new, busy={"vm-1"})).steps == ()
    assert decide(facts(old, slot=None, busy={"vm-1"})).steps == ()


def test_a_parent_that_vsphere_does_not_clone_any_more_is_replaced() -> None:
    vm = make_parent_vm()
    decision = decide(facts(vm, distrusted={vm.moref}))
    assert decision.ready is None
    assert [type(step) for step in decision.steps] == [Retire, Make]


def test_parents_of_a_slot_that_is_not_wanted_go() -> None:
    vm = make_parent_vm()
    assert [type(step) for step in decide(facts(vm, booting("vm-8"), slot=None)).steps] == [Retire, Retire]


def test_of_a_host_that_is_lost_nothing_is_concluded() -> None:
    decision = decide(facts(make_parent_vm(power_state=PowerState.OFF), host_usable=False))
    assert decision.steps == ()
    assert decision.ready is None


_vms = st.builds(
    make_parent_vm,
    moref=st.sampled_from(["vm-1", "vm-2", "vm-3"]),
    digest=st.sampled_from(["d0", "d1"]),
    power_state=st.sampled_from(PowerState),
    frozen=st.booleans(),
    host=st.sampled_from(["host-1", "host-2"]),
)


@given(st.lists(_vms, max_size=3, unique_by=lambda vm: vm.moref), st.booleans(), st.booleans())
def test_whatever_is_there_a_parent_comes_and_what_serves_is_not_retired(
    vms: list[ParentVM], making: bool, usable: bool
) -> None:
    decision = decide(facts(*vms, making=making, host_usable=usable))
    retired = [step.vm for step in decision.steps if isinstance(step, Retire)]
    assert decision.ready not in retired
    assert sum(isinstance(step, Make) for step in decision.steps) <= (0 if making else 1)
    if usable:
        current = decision.ready is not None and decision.ready.marks.digest == "d1"
        under_way = making or any(vm not in retired and vm.marks.digest == "d1" for vm in vms)
        assert current or under_way or any(isinstance(step, Make) for step in decision.steps)
    else:
        assert not decision.steps


def test_a_parent_that_is_too_old_serves_until_another_one_is_ready() -> None:
    slot = replace(SLOT, max_age=100.0)
    old, new = made(make_parent_vm("vm-1"), 50.0), made(make_parent_vm("vm-2"), 155.0)
    young = decide(facts(old, slot=slot, unix=149.0))
    assert young.steps == ()
    assert young.until == 1001.0
    aged = decide(facts(old, slot=slot, unix=150.0))
    assert aged.ready == old
    assert [type(step) for step in aged.steps] == [Make]
    coming = replace(new, frozen=False, report=None)
    assert decide(facts(old, coming, slot=slot, unix=160.0)).steps == ()
    done = decide(facts(old, new, slot=slot, unix=160.0))
    assert done.ready == new
    assert [(type(step), step.vm) for step in done.steps if isinstance(step, Retire)] == [(Retire, old)]


def test_a_parent_is_not_too_old_before_it_was_ready() -> None:
    slot = replace(SLOT, max_age=10.0)
    assert decide(facts(made(booting(), 50.0), slot=slot, unix=500.0, timeout=600.0)).steps == ()


def test_one_that_does_not_say_when_it_was_made_is_too_old_where_there_is_a_limit() -> None:
    assert not decide(facts(make_parent_vm(), unix=1e9)).steps
    assert decide(facts(make_parent_vm(), slot=replace(SLOT, max_age=1e6), unix=1e9)).steps


def test_who_makes_a_parent_switches_it_on() -> None:
    off = make_parent_vm(power_state=PowerState.OFF, frozen=False)
    assert decide(facts(off, making=True)).steps == ()


def made(vm: ParentVM, at: float) -> ParentVM:
    return replace(vm, marks=replace(vm.marks, made=at))
