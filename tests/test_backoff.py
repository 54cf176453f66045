"""What fails is tried again, at growing distances, for ever."""

from provider import errors
from provider.backoff import LONGEST, Backoff


def test_each_failure_doubles_the_distance_up_to_five_minutes() -> None:
    backoff, error = Backoff(), errors.ParentNotFrozen("not yet")
    delays = [backoff.failed(error, now=0.0) for _ in range(10)]
    assert delays[:4] == [2.0, 4.0, 8.0, 16.0]
    assert delays[-1] == LONGEST == 300.0


def test_an_error_says_how_soon_trying_again_makes_sense() -> None:
    assert Backoff().failed(errors.InvalidLogin("no"), now=0.0) == 30.0
    assert Backoff().failed(errors.VMGone("no"), now=0.0) == 1.0, "even what cannot help is not given up"


def test_nothing_is_tried_before_the_distance_is_over() -> None:
    backoff = Backoff()
    assert backoff.until == 0.0
    delay = backoff.failed(errors.VMBusy("busy"), now=100.0, spread=1.1)
    assert backoff.until == 100.0 + delay == 101.1


def test_hurry_tries_at_once_but_goes_on_counting() -> None:
    backoff = Backoff()
    backoff.failed(errors.VMBusy("busy"), now=100.0)
    backoff.hurry()
    assert backoff.until == 0.0
    assert backoff.failed(errors.VMBusy("busy"), now=100.0) == 2.0


def test_success_begins_anew() -> None:
    backoff = Backoff()
    backoff.failed(errors.VMBusy("busy"), now=100.0)
    backoff.succeeded()
    assert (backoff.failures, backoff.until) == (0, 0.0)
    assert backoff.failed(errors.VMBusy("busy"), now=100.0) == 1.0


def test_years_of_failures_do_not_overflow() -> None:
    backoff = Backoff()
    for _ in range(5000):
        assert backoff.failed(errors.VMBusy("busy"), now=0.0) <= LONGEST
