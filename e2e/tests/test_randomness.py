"""Clones share their parent's memory, its random state and its network cards' included: they must not share numbers,
nor be seen on the wire as anybody but themselves."""

from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from e2e.tests import bare_clone, capture
from e2e.tests.bare_clone import BareClone
from e2e.tests.capture import Capture
from e2e.tests.running_lab import RunningLab

CLONES = 20
_AT_A_TIME = 4


@dataclass(frozen=True, slots=True)
class Twenty:
    """What twenty clones of one parent drew, and what was on the wire from before the first until after the last."""

    keys: list[str]
    """Fingerprints of the keys that the guests made right after the thaw, from their kernels' random numbers."""
    managed: frozenset[str]
    """Their addresses in the management network; those of their Pods end the same."""
    cards_of_parent: frozenset[str]
    wire: Capture


@pytest.fixture(scope="module", name="twenty")
def _twenty(lab: RunningLab) -> Twenty:
    provider = bare_clone.Provider()
    managed: set[str] = set()

    def draw(number: int) -> str:
        clone: BareClone = bare_clone.make(lab, provider, "qemu", f"random-{number}")
        try:
            managed.add(clone.address)
            return clone.fingerprint(timeout=300)
        finally:
            clone.destroy()

    parents = frozenset(lab.cards(lab.parent("qemu")))
    with capture.running() as wire, ThreadPoolExecutor(_AT_A_TIME) as pool:
        keys = list(pool.map(draw, range(CLONES)))
    return Twenty(keys, frozenset(managed), parents, wire)


def test_twenty_clones_draw_different_random_numbers(twenty: Twenty) -> None:
    assert len(set(twenty.keys)) == CLONES, f"equal keys: {twenty.keys}"


def test_no_two_clones_have_one_card_or_one_address_on_the_wire(twenty: Twenty) -> None:
    cards, addresses = seen(twenty.wire)
    pods = {address.replace("10.77.", "10.78.") for address in twenty.managed}
    assert {len(cards[address]) for address in twenty.managed} == {1}, "each has answered, with one card"
    assert {len(cards[address]) for address in pods} <= {0, 1}, "one that goes at once may not have got so far"
    theirs = {card for address in (*twenty.managed, *pods) for card in cards[address]}
    assert {len(addresses[card]) for card in theirs} == {1}


def test_the_parents_cards_are_never_seen(twenty: Twenty) -> None:
    assert len(twenty.cards_of_parent) == 2
    assert not [frame for frame in twenty.wire.frames if frame.source in twenty.cards_of_parent]
    assert not [frame for frame in twenty.wire.frames if frame.sender_mac in twenty.cards_of_parent]


def seen(wire: Capture) -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
    """The cards that guests said to have an address, and the addresses that they said to be at a card, by ARP."""
    cards, addresses = defaultdict(set), defaultdict(set)
    for frame in wire.frames:
        if not frame.to_guest and frame.kind == "ARP" and frame.sender != "0.0.0.0":
            cards[frame.sender].add(frame.sender_mac)
            addresses[frame.sender_mac].add(frame.sender)
    return cards, addresses
