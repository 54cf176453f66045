"""Pods whose addresses a DHCP server gives: told by the agent, judged, imposed, and kept until the end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.pod_controller.world import World

READY = {"addresses": ["10.1.0.251/24"], "ready": True}
OTHER = {"addresses": ["10.1.0.252/24"], "ready": True}


@pytest.fixture
async def leased() -> AsyncIterator[World]:
    world = World()
    world.start(leased=True)
    yield world
    await world.stop()
    assert world.broken_promises == []


async def connected(world: World, name: str = "web") -> Any:
    """The link to the guest of a Pod that waits for its address."""
    uid = world.pods.create(name)["metadata"]["uid"]
    await world.until(lambda: (found := world.vsphere.of(uid)) and found[0].moref in world.guests.links)
    await world.passes(2)
    return world.guests.links[world.vm(uid).moref]


async def test_the_pod_is_fed_when_its_address_is_known_and_has_it_in_its_status(leased: World) -> None:
    link = await connected(leased)
    assert leased.guests.fed == {}
    assert await link.tell({**READY, "ready": False}) == 200
    await leased.passes(30)
    assert leased.guests.fed == {}, "its network is not ready"
    assert await link.tell(READY) == 200
    await leased.until(lambda: leased.pods.phase() == "Running")
    assert leased.pods.status()["podIPs"] == [{"ip": "10.1.0.251"}]


async def test_a_pod_without_a_lease_says_so_names_the_port_group_and_starts_when_there_is_one(leased: World) -> None:
    link = await connected(leased)
    assert await link.tell({"reason": "NoLease", "message": "no DHCP server answered 3 DISCOVERs"}) == 200
    said = "port group pods: no DHCP server answered 3 DISCOVERs"
    assert ("Warning", "FailedCreatePodSandBox", f"NoLease: {said}") in leased.events.recorded
    status = leased.pods.status()
    assert (status["phase"], status["reason"], status["message"]) == ("Pending", "NoLease", said)
    await link.tell(READY)
    await leased.until(lambda: leased.pods.phase() == "Running")
    assert not leased.pods.status().get("reason")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("10.0.0.77/24", "meets the management network 10.0.0.0/24"),
        ("10.0.200.1/8", "meets the management network"),
        ("224.0.0.5/24", "no machine's address"),
        ("169.254.7.7/16", "no machine's address"),
        ("192.0.2.10/24", "is the node's"),
    ],
)
async def test_an_address_that_is_none_for_pods_is_refused(leased: World, address: str, why: str) -> None:
    link = await connected(leased)
    assert await link.tell({"addresses": [address], "ready": True}) == 403
    assert leased.guests.fed == {}
    (message,) = [message for _, reason, message in leased.events.recorded if reason == "AddressRefused"]
    assert why in message


@pytest.mark.parametrize(
    "body", [{}, {"addresses": []}, {"addresses": ["x"]}, {"addresses": ["fd00::1/64"]}, {"reason": "Whatever"}]
)
async def test_what_no_agent_says_is_refused(leased: World, body: dict[str, Any]) -> None:
    link = await connected(leased)
    assert await link.tell(body) == 403
    assert leased.guests.fed == {}


async def test_two_pods_never_have_one_address(leased: World) -> None:
    first, second = await connected(leased), await connected(leased, "other")
    assert await first.tell(READY) == 200
    assert await second.tell({**READY, "ready": False}) == 403
    assert await second.tell(OTHER) == 200
    leased.pods.delete()
    await leased.until(lambda: leased.pods.phase() == "gone")
    third = await connected(leased, "third")
    assert await third.tell(READY) == 200


async def test_an_operator_that_restarts_knows_the_address_and_hears_the_same(leased: World) -> None:
    leased.guests.lease = READY
    vm = await leased.run_pod()
    await leased.stop()
    leased.forget_done()
    leased.start(leased=True)
    await leased.passes(30)
    assert leased.pods.phase() == "Running"
    assert leased.touched() == []
    assert await leased.guests.links[vm.moref].tell(READY) == 200
    other = await connected(leased, "other")  # whose agent says the same at its connect, and is refused
    assert "AddressRefused" in leased.events.reasons()
    assert await other.tell(OTHER) == 200


@pytest.mark.parametrize("told", [{"reason": "AddressLost", "message": "the DHCP server refused"}, OTHER])
async def test_a_pod_that_has_lost_its_address_fails_and_its_vm_ends(leased: World, told: dict[str, Any]) -> None:
    leased.guests.lease = READY
    vm = await leased.run_pod()
    await leased.guests.links[vm.moref].tell(told)
    await leased.until(lambda: leased.pods.phase() == "Failed" and not leased.vsphere.vms)
    assert "AddressLost: " in leased.pods.status()["message"]
    assert "AddressLost" in leased.events.reasons()


async def test_an_address_that_is_lost_before_the_pod_was_fed_costs_the_vm_alone(leased: World) -> None:
    link = await connected(leased)
    leased.guests.lease = READY
    await link.tell({"reason": "AddressLost", "message": "x"})
    await leased.until(lambda: leased.pods.phase() == "Running")
    assert leased.count("clone") == 2


async def test_a_pod_that_waits_for_an_address_ends_at_once_when_it_is_deleted(leased: World) -> None:
    await connected(leased)
    leased.pods.delete()
    await leased.until(lambda: leased.pods.phase() == "gone" and not leased.vsphere.vms, within=10)


async def test_a_pod_with_an_address_of_the_pool_has_no_lease_to_speak_of(world: World) -> None:
    vm = await world.run_pod()
    assert await world.guests.links[vm.moref].tell(READY) == 403
    assert world.pods.status()["podIP"] == vm.pod_addresses[0]
