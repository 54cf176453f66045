"""Clones share their parent's memory, its random state included: they must not share numbers."""

from concurrent.futures import ThreadPoolExecutor

from e2e.tests import bare_clone
from e2e.tests.bare_clone import BareClone
from e2e.tests.running_lab import RunningLab

CLONES = 20
_AT_A_TIME = 4


def test_twenty_clones_draw_different_random_numbers(lab: RunningLab) -> None:
    provider = bare_clone.Provider()

    def draw(number: int) -> str:
        """The fingerprint of a key that the guest made right after the thaw, from its kernel's random numbers."""
        clone: BareClone = bare_clone.make(lab, provider, "qemu", f"random-{number}")
        try:
            return clone.fingerprint(timeout=300)
        finally:
            clone.destroy()

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        drawn = list(pool.map(draw, range(CLONES)))
    assert len(set(drawn)) == CLONES, f"equal keys: {drawn}"
