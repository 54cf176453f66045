"""Many VMs about to go at once are a mistake of ours until that has been so for a while."""

import pytest

from provider.brake import AT_ONCE, QUARANTINE, Brake
from tests.fake_clock import FakeClock


@pytest.mark.parametrize(
    ("going", "total", "allowed"),
    [
        (0, 0, True),
        (AT_ONCE, AT_ONCE, True),
        (AT_ONCE + 1, AT_ONCE + 1, False),
        (AT_ONCE + 1, 29, False),
        (AT_ONCE + 1, 30, True),
        (20, 100, True),
        (21, 100, False),
    ],
)
def test_a_few_or_a_small_share_may_go_at_once(going: int, total: int, allowed: bool) -> None:
    assert Brake(FakeClock()).allows(going, total) is allowed


def test_many_may_go_when_that_has_held_for_the_quarantine() -> None:
    clock = FakeClock()
    brake = Brake(clock)
    assert not brake.allows(50, 100)
    clock.advance(QUARANTINE - 1)
    assert not brake.allows(50, 100)
    clock.advance(1)
    assert brake.allows(50, 100)


def test_a_finding_that_went_away_begins_anew() -> None:
    clock = FakeClock()
    brake = Brake(clock)
    assert not brake.allows(50, 100)
    clock.advance(QUARANTINE)
    assert brake.allows(1, 100)
    assert not brake.allows(50, 100)
