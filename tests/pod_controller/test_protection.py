"""A guest has its Pod's firewall before the Pod, and hears of every change."""

from provider.network_policy import Firewall, firewall_object
from provider.network_policy.firewall import isolated
from tests.pod_controller.world import World

SHUT = Firewall(ingress=isolated([]))


async def test_a_pod_is_fed_together_with_its_firewall(world: World) -> None:
    vm = await world.run_pod()
    assert world.guests.firewalls[vm.moref][0] == firewall_object(vm.identity.uid, Firewall())


async def test_nothing_is_fed_before_the_firewall_is_known_and_the_pod_says_why(world: World) -> None:
    world.firewalls.known = False
    uid = world.pods.create()["metadata"]["uid"]
    await world.passes(60)
    vm = world.vm(uid)
    assert vm.pin, "all else is made ready meanwhile"
    assert world.guests.fed == {}
    assert "NetworkPoliciesUnknown" in world.events.reasons()

    world.firewalls.subscribed[uid].learn(SHUT)
    await world.until(lambda: world.pods.phase() == "Running")
    assert world.guests.firewalls[vm.moref][0] == firewall_object(uid, SHUT)


async def test_a_firewall_that_is_known_in_time_is_no_event(world: World) -> None:
    await world.run_pod()
    await world.passes(60)
    assert "NetworkPoliciesUnknown" not in world.events.reasons()


async def test_a_change_is_fed_and_nothing_else_is(world: World) -> None:
    vm, other = await world.run_pod("web"), await world.run_pod("other")
    await world.passes(10)
    before = {moref: len(fed) for moref, fed in world.guests.fed.items()}
    world.firewalls.subscribed[vm.identity.uid].learn(SHUT)
    await world.passes(10)
    assert len(world.guests.fed[vm.moref]) == before[vm.moref] + 1
    assert world.guests.firewalls[vm.moref][-1] == firewall_object(vm.identity.uid, SHUT)
    assert len(world.guests.fed[other.moref]) == before[other.moref]


async def test_it_is_told_how_the_pod_changes(world: World) -> None:
    vm = await world.run_pod()
    seen = world.firewalls.subscribed[vm.identity.uid].seen
    assert seen[-1]["status"]["phase"] == "Running"


async def test_nobody_asks_for_the_firewall_of_a_pod_that_is_gone(world: World) -> None:
    await world.run_pod()
    world.pods.delete()
    await world.until(lambda: world.pods.phase() == "gone" and not world.vsphere.vms)
    await world.until(lambda: not world.firewalls.subscribed)


async def test_a_pod_that_is_taken_over_is_protected_as_before(world: World) -> None:
    vm = await world.run_pod()
    world.firewalls.known = False
    await world.restart()
    fed = len(world.guests.fed[vm.moref])
    await world.passes(60)
    assert len(world.guests.fed[vm.moref]) == fed, "the guest keeps what it has"
    world.firewalls.subscribed[vm.identity.uid].learn(SHUT)
    await world.until(lambda: world.guests.firewalls[vm.moref][-1] == firewall_object(vm.identity.uid, SHUT))
