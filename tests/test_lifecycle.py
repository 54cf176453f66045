"""The one next step, for everything that may be known of a Pod, its VM and its guest."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider import lifecycle
from provider.errors import UnsupportedPod
from provider.lifecycle import (
    Clone,
    Discard,
    Facts,
    Finish,
    Forget,
    Hold,
    Link,
    Lose,
    Pin,
    PodFacts,
    Refuse,
    Replace,
    Serve,
    Step,
    Wait,
    next_step,
)
from provider.podvm import GuestPhase, PodVM, PowerState
from tests.builders import make_facts, make_plan, make_report, make_vm

OFF = make_vm(power_state=PowerState.OFF)
FRESH = make_vm()
REPORTED = make_vm(report=make_report())
PINNED = make_vm(report=make_report(), pin="sha256:ab")
PINNED_OFF = make_vm(power_state=PowerState.OFF, pin="sha256:ab")
LOST = make_vm(report=make_report(), pin="sha256:ab", connected=False)
LOST_FRESH = make_vm(connected=False)
NEW = PodFacts()
STARTED = PodFacts(started=True)
DELETED = PodFacts(deleted=True, grace=30, started=True)
HELD = PodFacts(deleted=True, terminal=True, held=True)
TERMINAL = PodFacts(terminal=True, started=True)


@pytest.mark.parametrize(
    ("pod", "vm", "expected"),
    [
        (None, None, Forget),
        (None, OFF, Discard),
        (None, FRESH, Discard),
        (None, PINNED, Discard),
        (HELD, None, Wait),
        (HELD, OFF, Discard),
        (HELD, FRESH, Discard),
        (HELD, PINNED, Discard),
        (DELETED, None, Finish),
        (DELETED, OFF, Finish),
        (DELETED, FRESH, Finish),
        (DELETED, PINNED, Serve),
        (TERMINAL, None, Wait),
        (TERMINAL, OFF, Discard),
        (TERMINAL, FRESH, Discard),
        (TERMINAL, PINNED, Serve),
        (NEW, None, Clone),
        (NEW, OFF, Replace),
        (NEW, FRESH, Wait),
        (NEW, REPORTED, Pin),
        (NEW, PINNED, Serve),
        (STARTED, None, Lose),
        (STARTED, PINNED_OFF, Lose),
        (STARTED, FRESH, Wait),
        (STARTED, REPORTED, Pin),
        (STARTED, PINNED, Serve),
    ],
)
def test_the_table_of_the_module(pod: PodFacts | None, vm: PodVM | None, expected: type[Step]) -> None:
    assert isinstance(next_step(make_facts(pod=pod, vm=vm, vm_since=900.0)), expected)


def test_a_stale_inventory_never_leads_to_a_clone_to_a_loss_or_to_oblivion() -> None:
    for pod in (None, NEW, STARTED, DELETED):
        assert next_step(make_facts(pod=pod, synced=False)) == Wait()


def test_an_unsupported_pod_is_refused_before_there_is_a_vm() -> None:
    error = UnsupportedPod("spec.hostPID", "no")
    assert next_step(make_facts(plan=error)) == Refuse(error)


def test_nothing_is_cloned_while_the_class_is_unknown() -> None:
    assert next_step(make_facts(plan=None)) == Wait()


def test_a_pod_of_the_same_name_waits_until_its_predecessors_vm_is_off() -> None:
    assert isinstance(next_step(make_facts(predecessor_on=True)), Hold)


def test_a_new_pod_says_that_it_waits_for_vcenter_and_no_other_does() -> None:
    step = next_step(make_facts(synced=False, outage="no answer"))
    assert isinstance(step, Hold)
    assert "no answer" in str(step.error)
    assert next_step(make_facts(pod=STARTED, synced=False, outage="no answer")) == Wait()
    assert next_step(make_facts(fed=True, synced=False, outage="no answer")) == Wait()


SETTLED = 1000.0 - lifecycle.LOST_HOST_SETTLES


@pytest.mark.parametrize("pod", [NEW, STARTED])
@pytest.mark.parametrize("vm", [LOST, LOST_FRESH])
def test_a_pod_fails_when_its_host_is_lost_for_a_settled_time_and_its_guest_is_silent(pod: PodFacts, vm: PodVM) -> None:
    assert isinstance(next_step(make_facts(pod=pod, vm=vm, vm_since=SETTLED)), Lose)
    assert not isinstance(next_step(make_facts(pod=pod, vm=vm, vm_since=SETTLED + 1)), Lose)
    assert not isinstance(next_step(make_facts(pod=pod, vm=vm, vm_since=SETTLED, silent_since=SETTLED + 1)), Lose)


def test_a_vm_whose_host_is_only_disconnected_from_vcenter_is_served_on() -> None:
    step = next_step(make_facts(pod=STARTED, vm=LOST, vm_since=0.0, link=Link.CONNECTED))
    assert isinstance(step, Serve)


@pytest.mark.parametrize("pod", [None, HELD, TERMINAL, PodFacts(terminal=True, lost=True)])
def test_nothing_is_done_to_a_vm_whose_host_is_lost(pod: PodFacts | None) -> None:
    assert next_step(make_facts(pod=pod, vm=LOST, vm_since=0.0)) == Wait()


def test_a_deleted_pod_does_not_wait_for_a_host_that_is_lost_for_good() -> None:
    assert next_step(make_facts(pod=DELETED, vm=LOST, vm_since=SETTLED)) == Finish(None, "its host is lost")
    assert next_step(make_facts(pod=DELETED, vm=LOST, vm_since=SETTLED + 1)) == Serve(LOST, until=1001.0)


def test_the_vm_of_a_pod_that_was_lost_goes_when_its_host_is_back() -> None:
    assert isinstance(next_step(make_facts(pod=PodFacts(terminal=True, started=True, lost=True), vm=PINNED)), Discard)


def test_after_a_clone_its_vm_is_waited_for_and_then_cloned_again() -> None:
    waiting = next_step(make_facts(cloned_at=999.0))
    assert waiting == Wait(999.0 + lifecycle.APPEARS_WITHIN)
    assert next_step(make_facts(cloned_at=1000.0 - lifecycle.APPEARS_WITHIN)) == Clone(make_plan())


@pytest.mark.parametrize("pod", [None, DELETED])
def test_a_pod_does_not_end_before_the_vm_that_was_cloned_for_it_is_seen(pod: PodFacts | None) -> None:
    assert next_step(make_facts(pod=pod, cloned_at=999.0)) == Wait(999.0 + lifecycle.APPEARS_WITHIN)


def test_a_vm_that_is_seen_off_gets_time_to_settle() -> None:
    assert next_step(make_facts(pod=STARTED, vm=OFF, vm_since=995.0)) == Wait(995.0 + lifecycle.OFF_SETTLES)


def test_a_vm_that_is_suspended_is_neither_off_nor_lost() -> None:
    suspended = make_vm(power_state=PowerState.SUSPENDED, pin="sha256:ab")
    assert next_step(make_facts(pod=STARTED, vm=suspended)) == Serve(suspended)


def test_a_pinned_vm_that_is_off_is_replaced_only_if_nothing_was_fed_to_it() -> None:
    assert isinstance(next_step(make_facts(vm=PINNED_OFF)), Replace)
    assert isinstance(next_step(make_facts(vm=PINNED_OFF, fed=True)), Lose)


def test_a_pod_whose_vm_is_gone_fails_once_something_was_fed_to_it() -> None:
    assert next_step(make_facts(fed=True)) == Lose("the VM is gone")
    assert isinstance(next_step(make_facts(pod=STARTED, plan=None)), Lose), "whatever the class is"


def test_a_vm_whose_address_another_one_has_is_replaced_before_it_is_used() -> None:
    for vm in (FRESH, REPORTED):
        assert isinstance(next_step(make_facts(vm=vm, address_taken=True)), Replace)
    assert next_step(make_facts(vm=PINNED, address_taken=True)) == Serve(PINNED)


def test_the_first_fingerprint_is_pinned_and_no_other() -> None:
    assert next_step(make_facts(vm=REPORTED)) == Pin(REPORTED, "sha256:ab")
    other = make_vm(report=make_report(fingerprint="sha256:cd"), pin="sha256:ab")
    assert next_step(make_facts(vm=other)) == Serve(other)


def test_a_silent_agent_is_replaced_after_the_time_out() -> None:
    assert next_step(make_facts(vm=FRESH, vm_since=701.0)) == Wait(1001.0)
    assert isinstance(next_step(make_facts(vm=FRESH, vm_since=700.0)), Replace)


def test_a_guest_that_refuses_is_replaced_only_if_nothing_has_run_in_it() -> None:
    refused = make_vm(report=make_report(phase=GuestPhase.REFUSED, message="CloneOfClone"))
    assert isinstance(next_step(make_facts(vm=refused)), Replace)
    assert isinstance(next_step(make_facts(vm=PINNED, link=Link.REFUSED)), Replace)
    assert isinstance(next_step(make_facts(vm=PINNED, link=Link.REFUSED, fed=True)), Lose)
    assert isinstance(next_step(make_facts(pod=STARTED, vm=PINNED, link=Link.REFUSED)), Lose)


def test_the_guest_ends_a_deleted_pod_until_its_time_is_over() -> None:
    grace_ends = 990.0 + 30
    step = next_step(make_facts(pod=DELETED, vm=PINNED, deleted_at=990.0, link=Link.LOST))
    assert step == Serve(PINNED, until=grace_ends + lifecycle.UNREACHABLE_AFTER_GRACE)
    late = grace_ends + lifecycle.UNREACHABLE_AFTER_GRACE
    assert isinstance(next_step(make_facts(pod=DELETED, vm=PINNED, deleted_at=990.0, now=late, link=Link.LOST)), Finish)
    connected = make_facts(pod=DELETED, vm=PINNED, deleted_at=990.0, now=late, link=Link.CONNECTED)
    assert isinstance(next_step(connected), Serve)


@pytest.mark.parametrize(
    ("link", "patience"),
    [
        (Link.NONE, lifecycle.UNREACHABLE_AFTER_GRACE),
        (Link.CONNECTING, lifecycle.UNREACHABLE_AFTER_GRACE),
        (Link.LOST, lifecycle.UNREACHABLE_AFTER_GRACE),
        (Link.CONNECTED, lifecycle.STUCK_AFTER_GRACE),
    ],
)
def test_a_guest_has_its_grace_and_some_patience_to_end_a_pod(link: Link, patience: float) -> None:
    deadline = 990.0 + DELETED.grace + patience
    facts = make_facts(pod=DELETED, vm=PINNED, deleted_at=990.0, link=link, now=deadline - 0.1)
    assert next_step(facts) == Serve(PINNED, until=deadline)
    assert isinstance(next_step(replace(facts, now=deadline)), Finish)


def test_a_guest_whose_grace_was_shortened_is_given_no_more_patience_than_a_silent_one() -> None:
    facts = make_facts(pod=DELETED, vm=PINNED, link=Link.CONNECTED, deleted_at=0.0, grace_shortened=True)
    ends = DELETED.grace + lifecycle.UNREACHABLE_AFTER_GRACE
    assert next_step(replace(facts, now=ends - 1)) == Serve(PINNED, until=ends)
    assert isinstance(next_step(replace(facts, now=ends)), Finish)


def test_a_guest_that_refuses_is_given_no_grace() -> None:
    assert isinstance(next_step(make_facts(pod=DELETED, vm=PINNED, link=Link.REFUSED)), Finish)


def test_a_delete_without_grace_ends_the_vm_at_once() -> None:
    assert isinstance(next_step(make_facts(pod=PodFacts(deleted=True, started=True), vm=PINNED)), Finish)


def test_a_delete_that_the_guest_asked_for_is_waited_for_and_then_done_by_us() -> None:
    pod = PodFacts(deleted=True, terminal=True, started=True)
    waiting = next_step(make_facts(pod=pod, vm=None, guest_deletes_at=990.0))
    assert waiting == Wait(990.0 + lifecycle.GUEST_DELETES_WITHIN)
    assert isinstance(next_step(make_facts(pod=pod, vm=None, guest_deletes_at=900.0)), Finish)


def test_a_delete_that_was_sent_is_sent_again_if_the_object_stays() -> None:
    assert next_step(make_facts(pod=DELETED, delete_sent_at=999.0)) == Wait(999.0 + lifecycle.DELETE_AGAIN)
    assert isinstance(next_step(make_facts(pod=DELETED, delete_sent_at=900.0)), Finish)


def test_a_refused_pod_is_deleted_without_looking_for_a_vm() -> None:
    pod = PodFacts(deleted=True, grace=30, terminal=True, refused=True)
    assert isinstance(next_step(make_facts(pod=pod, synced=False)), Finish)


@pytest.mark.parametrize(("pod", "words"), [(NEW, "before it had a VM"), (STARTED, "VM was gone")])
def test_a_deleted_pod_without_a_vm_says_whether_it_had_one(pod: PodFacts, words: str) -> None:
    step = next_step(make_facts(pod=replace(pod, deleted=True, grace=30)))
    assert isinstance(step, Finish)
    assert step.vm is None
    assert words in step.why


INSTANTS = st.none() | st.floats(0, 2000)
FACTS = st.builds(
    Facts,
    pod=st.none()
    | st.builds(
        PodFacts,
        deleted=st.booleans(),
        grace=st.sampled_from([0.0, 30.0]),
        terminal=st.booleans(),
        started=st.booleans(),
        held=st.booleans(),
        refused=st.booleans(),
        lost=st.booleans(),
    ),
    plan=st.sampled_from([None, make_plan(), UnsupportedPod("spec.hostPID", "no")]),
    vm=st.sampled_from([None, OFF, FRESH, REPORTED, PINNED, LOST, LOST_FRESH]),
    synced=st.booleans(),
    now=st.floats(0, 2000),
    link=st.sampled_from(Link),
    fed=st.booleans(),
    predecessor_on=st.booleans(),
    vm_since=st.floats(0, 2000),
    silent_since=st.floats(0, 2000),
    outage=st.sampled_from(["", "no answer"]),
    cloned_at=INSTANTS,
    deleted_at=INSTANTS,
    guest_deletes_at=INSTANTS,
    delete_sent_at=INSTANTS,
)


@given(FACTS)
def test_whatever_is_known_a_pod_never_gets_a_second_vm(facts: Facts) -> None:
    if isinstance(next_step(facts), Clone):
        assert facts.vm is None
        assert facts.synced
        assert not facts.predecessor_on
        assert facts.pod is not None
        assert not any((facts.pod.started, facts.fed, facts.pod.deleted, facts.pod.terminal))


@given(FACTS)
def test_whatever_is_known_a_vm_in_which_containers_may_run_is_not_replaced(facts: Facts) -> None:
    step: Any = next_step(facts)
    if isinstance(step, Replace):
        assert facts.pod is not None
        assert step.vm.pin is None or not (facts.pod.started or facts.fed)


@given(FACTS)
def test_absence_in_a_stale_inventory_leads_to_nothing(facts: Facts) -> None:
    if facts.vm is None and not facts.synced:
        step = next_step(facts)
        refused_before = facts.pod is not None and facts.pod.refused
        assert isinstance(step, (Wait, Hold)) or (isinstance(step, Finish) and refused_before)


@given(FACTS)
def test_a_pod_that_is_not_deleted_and_has_run_keeps_its_vm_or_fails(facts: Facts) -> None:
    if facts.pod is not None and facts.pod.started and not (facts.pod.deleted or facts.pod.terminal):
        step = next_step(facts)
        assert not isinstance(step, (Clone, Discard, Finish, Forget, Refuse))
        if facts.vm is not None and facts.vm.pin is not None:
            assert isinstance(step, (Serve, Wait, Lose))


@given(FACTS)
def test_what_waits_knows_when_to_look_again_and_that_is_later(facts: Facts) -> None:
    step = next_step(facts)
    if isinstance(step, (Wait, Serve)) and step.until is not None:
        assert step.until > facts.now


@given(FACTS)
def test_whatever_is_known_the_same_facts_give_the_same_step(facts: Facts) -> None:
    assert next_step(facts) == next_step(facts)
