"""A Pod's end is the kubelet's: it is told at once and with the grace that was asked for, over restarts too."""

from provider import lifecycle
from tests.pod_controller.world import World

UNREACHABLE = lifecycle.UNREACHABLE_AFTER_GRACE


def grace_told(world: World, moref: str) -> int | None:
    """The grace period with which the guest was told to end the Pod."""
    grace: int | None = world.guests.fed[moref][-1]["metadata"].get("deletionGracePeriodSeconds")
    return grace


async def test_a_guest_is_told_of_the_deletion_at_once_and_of_its_grace(world: World) -> None:
    vm = await world.run_pod(terminationGracePeriodSeconds=300)
    world.pods.delete(grace=3)
    await world.until(lambda: grace_told(world, vm.moref) == 3, within=1)


async def test_a_second_delete_shortens_the_grace_and_does_not_extend_it(world: World) -> None:
    vm = await world.run_pod()
    world.guests.end_pods = False
    world.pods.delete(grace=600)
    await world.until(lambda: grace_told(world, vm.moref) == 600, within=1)
    world.pods.delete(grace=10)
    await world.until(lambda: grace_told(world, vm.moref) == 10, within=1)
    world.pods.delete(grace=600)
    await world.passes(10 + UNREACHABLE - 3)
    assert len(world.vsphere.running()) == 1
    await world.until(lambda: world.pods.phase() == "gone", within=5)


async def test_a_restart_begins_the_grace_anew_and_once(world: World) -> None:
    await world.run_pod()
    world.guests.reachable = False
    world.pods.delete(grace=30)
    await world.passes(50)
    await world.restart()
    await world.passes(30 + UNREACHABLE - 2)
    assert len(world.vsphere.running()) == 1
    await world.until(lambda: world.pods.phase() == "gone", within=5)


async def test_a_pod_that_a_finalizer_keeps_is_over_for_the_next_process_too(world: World) -> None:
    await world.run_pod()
    world.pods.hold("web", "example.com/wait")
    world.pods.delete()
    await world.until(lambda: not world.vsphere.vms)
    world.forget_done()
    await world.restart()
    await world.passes(600)
    assert world.done == [], "neither cloned, nor told anything, nor deleted again"
    assert world.pods.phase() == "Succeeded"
    world.pods.hold("web")
    await world.until(lambda: not list(world.controller.workers()))


async def test_a_pod_that_has_ended_is_not_started_by_the_next_process(world: World) -> None:
    world.guests.exit_phase = "Succeeded"
    world.pods.create()
    await world.until(lambda: world.pods.phase() == "Succeeded")
    world.forget_done()
    await world.restart()
    await world.passes(300)
    assert world.done == []
    await world.stop()
    for moref in list(world.vsphere.vms):
        world.vsphere.vanish(moref)
    world.start()
    await world.passes(300)
    assert world.done == [], "not without its VM either"
    assert world.pods.phase() == "Succeeded"


async def test_vms_of_pods_that_were_deleted_by_force_while_nobody_looked_go_before_new_ones_start(
    world: World,
) -> None:
    """The out-of-service taint: PodGC deletes by force, the owners make new Pods, then the provider is back."""
    names = ("db-0", "db-1", "web")
    for name in names:
        await world.run_pod(name)
    old = set(world.vsphere.vms)
    await world.stop()
    for name in names:
        world.pods.delete(name, grace=0)
    for name in ("db-0", "db-1"):
        world.pods.create(name)
    world.start()
    await world.until(lambda: {world.pods.phase(name) for name in ("db-0", "db-1")} == {"Running"})
    await world.until(lambda: not old & set(world.vsphere.vms), within=120)
    assert len(world.vsphere.vms) == 2, "and that no namesake ran meanwhile is a promise of the world"
