"""While something cannot be reached nothing is made and nothing is ended; afterwards all is made up for."""

from datetime import timedelta

import pytest

from provider import errors
from provider.brake import ABSENT_SECONDS, AT_ONCE, QUARANTINE
from provider.podvm import Appeared, PowerState, Vanished
from tests.pod_controller.world import World

HOUR = 3600.0


async def test_without_an_api_server_nothing_is_made_and_nothing_is_ended(world: World) -> None:
    for name in ("stays", "leaves", "is-forced"):
        await world.run_pod(name)
    world.cut_off()
    world.forget_done()
    world.pods.create("comes")
    world.pods.delete("leaves")
    world.pods.delete("is-forced", grace=0)
    world.pods.create("is-forced")
    await world.passes(HOUR)
    assert world.touched() == []
    assert len(world.vsphere.running()) == 3


async def test_what_happened_without_us_is_carried_out_when_the_api_server_is_back(world: World) -> None:
    for name in ("stays", "leaves", "is-forced", "is-replaced"):
        await world.run_pod(name)
    kept = world.vm(world.pods.stored["stays"]["metadata"]["uid"])
    world.cut_off()
    world.pods.delete("leaves")
    world.pods.create("comes")
    for name in ("is-forced", "is-replaced"):
        world.pods.delete(name, grace=0)
    world.pods.create("is-replaced")
    await world.passes(HOUR)
    world.reach_again()
    running = ("comes", "is-replaced", "stays")
    await world.until(
        lambda: world.pods.phase("leaves") == "gone" and {world.pods.phase(name) for name in running} == {"Running"},
        within=30,
    )
    await world.until(lambda: len(world.vsphere.vms) == 3, within=ABSENT_SECONDS + 5)
    assert kept in world.vsphere.running()


async def test_a_status_that_could_not_be_told_is_told_when_the_api_server_is_back(world: World) -> None:
    await world.run_pod()
    world.cut_off()
    world.guests.exit_phase = "Failed"
    await world.passes(HOUR)
    assert world.pods.phase() == "Running"
    world.reach_again()
    await world.until(lambda: world.pods.phase() == "Failed", within=30)


async def test_without_vcenter_pods_run_on_and_new_ones_wait(world: World) -> None:
    await world.run_pod("runs")
    await world.run_pod("leaves")
    world.vsphere.down = True
    world.vsphere.disconnect()
    world.forget_done()
    world.pods.create("waits")
    world.pods.delete("leaves", grace=30)
    await world.passes(HOUR)
    assert world.pods.phase("runs") == "Running"
    assert world.count("status", "runs") == world.count("guest status", "runs") == 0
    assert len(world.vsphere.running()) == 2
    assert world.count("clone") == 0
    assert world.pods.phase("leaves") in ("Running", "Succeeded"), "its VM cannot be switched off, so it may not go"
    world.vsphere.down = False
    world.vsphere.connect(world.controller.inventory_changed)
    await world.until(
        lambda: world.pods.phase("waits") == "Running" and world.pods.phase("leaves") == "gone", within=60
    )
    await world.until(lambda: len(world.vsphere.vms) == 2)


@pytest.mark.parametrize("restarted", [False, True])
async def test_vms_that_are_all_hidden_at_once_fail_no_pod_before_the_quarantine(world: World, restarted: bool) -> None:
    """The account has lost its rights on the folder: vCenter shows an empty one."""
    names = [f"web-{number}" for number in range(AT_ONCE + 1)]
    for name in names:
        await world.run_pod(name)
    hidden = list(world.vsphere.vms.values())
    if restarted:
        await world.stop()
    world.vsphere.vms = {}
    if restarted:
        world.start()
    for vm in hidden:
        world.vsphere.tell(Vanished(vm.identity.uid, vm.moref))
    await world.passes(QUARANTINE / 2)
    assert {world.pods.phase(name) for name in names} == {"Running"}
    world.vsphere.vms = {vm.moref: vm for vm in hidden}
    for vm in hidden:
        world.vsphere.tell(Appeared(vm))
    await world.passes(2 * QUARANTINE)
    assert {world.pods.phase(name) for name in names} == {"Running"}
    assert world.count("clone") == len(names)


async def test_vms_that_are_really_gone_fail_their_pods_in_the_end(world: World) -> None:
    names = [f"web-{number}" for number in range(AT_ONCE + 1)]
    for name in names:
        await world.run_pod(name)
    for moref in list(world.vsphere.vms):
        world.vsphere.vanish(moref)
    await world.passes(QUARANTINE - 60)
    assert {world.pods.phase(name) for name in names} == {"Running"}
    await world.until(lambda: {world.pods.phase(name) for name in names} == {"Failed"}, within=120)


async def test_a_few_vms_that_are_gone_fail_their_pods_soon(world: World) -> None:
    names = [f"web-{number}" for number in range(AT_ONCE)]
    for name in names:
        await world.run_pod(name)
    for moref in list(world.vsphere.vms):
        world.vsphere.vanish(moref)
    await world.until(lambda: {world.pods.phase(name) for name in names} == {"Failed"}, within=30)


async def test_a_host_without_room_is_no_reason_for_a_storm_of_clones(world: World) -> None:
    names = [f"web-{number}" for number in range(5)]
    world.vsphere.fail("clone", *[errors.InsufficientResources("no memory left")] * 10_000)
    for name in names:
        world.pods.create(name)
    await world.passes(HOUR)
    assert world.count("clone") < len(names) * 30
    assert {world.pods.status(name)["reason"] for name in names} == {"InsufficientResources"}
    assert {world.pods.phase(name) for name in names} == {"Pending"}
    assert "FailedCreatePodSandBox" in world.events.reasons()
    world.vsphere.behaviour.next_errors.clear()
    world.controller.hurry()  # as when a host or a parent is there again
    await world.until(lambda: {world.pods.phase(name) for name in names} == {"Running"})


async def test_a_wall_clock_that_jumps_changes_nothing(world: World) -> None:
    await world.run_pod("runs")
    world.pods.create("starts")
    world.pods.create("was-deleted")
    await world.passes(0.3)
    for hours in (1, -1):
        world.clock.skew = timedelta(hours=hours)
        world.pods.create(f"new-{hours}")
        await world.passes(400)
    assert {world.pods.phase(name) for name in world.pods.stored} == {"Running"}
    assert world.count("clone") == len(world.pods.stored)
    assert world.count("power_off") == 0


async def test_a_grace_period_is_not_measured_by_the_wall_clock(world: World) -> None:
    vm = await world.run_pod()
    world.guests.reachable = False
    world.pods.delete(grace=30)
    await world.passes(5)
    world.clock.skew = timedelta(hours=1)
    await world.passes(30)
    assert world.vsphere.vms[vm.moref].power_state is PowerState.ON
    world.clock.skew = timedelta(hours=-1)
    await world.until(lambda: world.pods.phase() == "gone", within=60)
