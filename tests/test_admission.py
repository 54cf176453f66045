"""Pods are judged once; what they use is counted as long as it is used."""

import pytest

from provider.admission import Admission
from provider.capacity import Resources
from provider.errors import OutOfResource

ONE = Resources(1000, 100, 1)


def make_admission() -> Admission:
    admission = Admission(lambda _: Resources(2000, 1000, 10))
    admission.open = True
    return admission


def test_a_pod_that_was_taken_on_is_not_judged_again() -> None:
    admission = make_admission()
    admission.admit("a", ONE)
    admission.admit("b", ONE)
    admission.admit("a", ONE)
    assert admission.used == Resources(2000, 200, 2)


def test_a_refused_pod_is_not_counted() -> None:
    admission = make_admission()
    for uid in ("a", "b"):
        admission.admit(uid, ONE)
    for _ in range(2):
        with pytest.raises(OutOfResource, match="cpu, requested: 1000, used: 2000, capacity: 2000"):
            admission.admit("c", ONE)
    assert admission.used.pods == 2


def test_what_has_a_vm_is_taken_on_even_if_it_does_not_fit_any_more() -> None:
    admission = make_admission()
    for uid in ("a", "b", "c"):
        admission.keep(uid, ONE)
    assert admission.used.cpu_millis == 3000
    with pytest.raises(OutOfResource):
        admission.admit("d", ONE)


def test_an_ended_pod_is_no_longer_used_but_held_until_it_is_forgotten() -> None:
    admission = make_admission()
    admission.admit("a", ONE)
    admission.end("a")
    admission.end("a")
    assert (admission.used, admission.ended) == (Resources(), ONE)
    admission.forget("a")
    admission.forget("a")
    assert (admission.used, admission.ended) == (Resources(), Resources())


def test_nothing_is_decided_before_everything_is_known() -> None:
    known: list[Resources] = []
    admission = Admission(lambda _: known[0] if known else None)
    admission.open = True
    assert not admission.decides()
    known.append(Resources())
    assert admission.decides()
    admission.open = False
    assert not admission.decides()


def test_the_overhead_of_vms_is_counted_until_they_are_gone() -> None:
    admission = make_admission()
    admission.admit("a", ONE, Resources(memory_bytes=7))
    admission.end("a")
    assert admission.overhead == Resources(memory_bytes=7)
    admission.forget("a")
    assert admission.overhead == Resources()


def test_who_fits_beside_those_that_stay_waits_for_those_that_leave() -> None:
    admission = make_admission()
    admission.admit("a", ONE)
    admission.admit("b", ONE)
    admission.leave("a")
    assert not admission.admit("c", ONE), "the scheduler does not count it any more"
    with pytest.raises(OutOfResource):
        admission.admit("d", Resources(2000, 100, 1))
    admission.forget("a")
    assert admission.waiting() == {"c"}
    assert admission.admit("c", ONE)
    assert admission.waiting() == set()
    assert admission.used == Resources(2000, 200, 2)


def test_an_ended_pod_that_leaves_is_waited_for_too() -> None:
    ended = Resources(2000, 100, 1)
    admission = Admission(lambda books: Resources(2000, 1000, 10).less(books.ended + books.overhead))
    admission.open = True
    admission.admit("a", ended, Resources(memory_bytes=50))
    admission.end("a")
    admission.leave("a")
    assert not admission.admit("b", ONE)
    admission.forget("a")
    assert admission.waiting() == {"b"}
    assert admission.admit("b", ONE)
