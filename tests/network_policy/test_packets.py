"""The kernel's verdict on real connections is the reference's: from the objects to packets, with nothing in between."""

import random
from collections.abc import Iterator

import pytest
from vch_agent import policy as guest_policy

from provider.network_policy import firewall_object
from tests.network_policy.gateway import AVAILABLE, Gateway, gateway
from tests.network_policy.generated import PORTS, STRANGERS, connections, make_world
from tests.network_policy.objects import firewall
from tests.network_policy.reference import World, permits

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="network namespaces and nftables need root and nft")

OWN = ("10.0.0.1", "fd00::1")
PEERS = (*(f"{net}{number}" for net in ("10.0.0.", "fd00::") for number in range(2, 9)), *STRANGERS)


@pytest.fixture(name="real", scope="module")
def _real() -> Iterator[Gateway]:
    with gateway(OWN, PEERS, PORTS) as made:
        yield made


def rules(world: World) -> str:
    """As they are in the guest, by way of the message."""
    sent = firewall_object("uid", firewall(world.pods[0], world.policies, world.pods, world.namespaces))
    return guest_policy.rules(guest_policy.Firewall.parse(sent))


def a_mixed_world(seed: int) -> World:
    """One in which some connections are allowed and some are not, in both directions."""
    chance = random.Random(seed)
    while True:
        world = make_world(chance)
        verdicts = {(each.ingress, permits(world, world.pods[0], each)) for each in connections(world)}
        if len(verdicts) == 4:
            return world


@pytest.mark.parametrize("seed", range(12))
def test_tcp_connections_are_made_if_the_policies_say_so(real: Gateway, seed: int) -> None:
    world = a_mixed_world(seed)
    asked = [each for each in connections(world) if each.protocol == "TCP"]
    expected = {each: permits(world, world.pods[0], each) for each in random.Random(seed).sample(asked, 120)}
    real.load(rules(world))
    assert real.connected(expected.items()) == expected


def test_rules_replace_those_before_however_often_they_are_loaded(real: Gateway) -> None:
    worlds = [a_mixed_world(seed) for seed in (100, 101)]
    first = real.load(rules(worlds[0]))
    assert real.load(rules(worlds[0])) == first
    assert real.load(rules(worlds[1])) != first
    assert real.load(rules(worlds[0])) == first


def test_without_isolation_nothing_of_the_rules_before_stays(real: Gateway) -> None:
    real.load(rules(a_mixed_world(102)))
    opened = real.load(rules(World([], [], [make_world(random.Random(1)).pods[0]])))
    assert "accept" not in opened
    assert "drop" not in opened


def test_rules_that_cannot_be_loaded_leave_those_before(real: Gateway) -> None:
    before = real.load(rules(a_mixed_world(103)))
    broken = f"{rules(a_mixed_world(104))}add rule inet vch nowhere accept\n"
    with pytest.raises(AssertionError, match="nowhere"):
        real.load(broken)
    assert real.load("") == before


def test_thousands_of_peers_are_one_set(real: Gateway) -> None:
    peers = [f"10.{number >> 8}.{number & 255}.{last}" for number in range(2500) for last in (2, 9)]
    port = {"protocol": "TCP", "first": 80, "last": 80}
    closed = {"isolated": True, "rules": [{"peers": peers, "ports": [port]}]}
    message = firewall_object("uid", firewall(make_world(random.Random(1)).pods[0], [], []))
    message["spec"]["ingress"] = closed
    listed = real.load(guest_policy.rules(guest_policy.Firewall.parse(message)))
    assert listed.count("accept") == 1
    assert real.load(guest_policy.rules(guest_policy.Firewall.parse(message))) == listed
