"""A virtual node's own counters do not go backwards, whatever its guests do."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from provider.kubelet.node_totals import _SERIES, NodeTotals

BEGAN = 1000.0
AFTER, BEFORE = BEGAN + 1, BEGAN - 1  # when a Pod was created


def test_guests_are_summed() -> None:
    totals = NodeTotals(BEGAN)
    totals.add("a", AFTER, 1, {"cpu": 2.0, "pods": 1})
    totals.add("b", AFTER, 1, {"cpu": 3.0, "pods": 2})
    assert (totals.counter("cpu"), totals.gauge("pods")) == (5.0, 3)


def test_what_a_guest_had_counted_stays_when_its_pod_leaves() -> None:
    totals = NodeTotals(BEGAN)
    totals.add("a", AFTER, 1, {"cpu": 2.0, "pods": 1})
    totals.keep(set())
    assert (totals.counter("cpu"), totals.gauge("pods")) == (2.0, 0)


def test_a_guest_that_does_not_answer_once_is_as_it_was() -> None:
    totals = NodeTotals(BEGAN)
    totals.add("a", AFTER, 1, {"cpu": 2.0, "pods": 1})
    totals.keep({"a"})
    assert (totals.counter("cpu"), totals.gauge("pods")) == (2.0, 1)


def test_a_guest_that_begins_anew_counts_on() -> None:
    totals = NodeTotals(BEGAN)
    for at, value in enumerate((5.0, 1.0, 2.0)):
        totals.add("a", AFTER, at, {"cpu": value})
    assert totals.counter("cpu") == 7.0


def test_of_a_guest_that_was_there_before_only_what_it_adds_counts() -> None:
    totals = NodeTotals(BEGAN)
    totals.add("a", BEFORE, 1, {"cpu": 5000.0, "pods": 1})
    assert (totals.counter("cpu"), totals.gauge("pods")) == (0.0, 1)
    totals.add("a", BEFORE, 2, {"cpu": 5001.0})
    assert totals.counter("cpu") == 1.0


def test_what_a_clone_was_born_with_is_not_its_own() -> None:
    totals = NodeTotals(BEGAN)
    totals.add("a", AFTER, 1, {"cpu": 5000.0}, {"cpu": 0.5})
    totals.add("a", AFTER, 2, {"cpu": 5001.0}, {"cpu": 1.5})
    assert totals.counter("cpu") == 1.5


def test_an_answer_that_comes_late_is_no_new_beginning() -> None:
    totals = NodeTotals(BEGAN)
    totals.add("a", AFTER, 2, {"cpu": 5.0})
    totals.add("a", AFTER, 1, {"cpu": 4.0})
    assert totals.counter("cpu") == 5.0


def test_a_guest_cannot_make_series_without_end() -> None:
    totals = NodeTotals(BEGAN)
    totals.add("a", AFTER, 1, {f"s{number}": 1.0 for number in range(2 * _SERIES)})
    assert len(totals.series()) == _SERIES


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1e6), st.booleans()), max_size=50))
def test_a_counter_never_falls(told: list[tuple[str, float, bool]]) -> None:
    totals, before = NodeTotals(BEGAN), 0.0
    step: Callable[[], float] = lambda: totals.counter("cpu")  # noqa: E731
    for at, (uid, value, leaves) in enumerate(told):
        totals.add(uid, AFTER, at, {"cpu": value})
        if leaves:
            totals.keep({"a", "b", "c"} - {uid})
        assert step() >= before
        before = step()
