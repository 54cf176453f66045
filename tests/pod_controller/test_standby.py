"""A Pod gets the standby clone that is there for it; when it does not, it gets a VM of its own, and never two."""

from provider import errors
from provider.podvm import CloneOrigin, PodVM
from tests.builders import make_identity, make_report, make_vm
from tests.pod_controller.world import World


def stand_by(world: World) -> PodVM:
    """One that is ready."""
    origin = CloneOrigin("id-vm-7", "photon", "small", "")
    vm = make_vm(
        "vm-99",
        identity=make_identity(namespace="", name="", uid=""),
        report=make_report(fingerprint="sha256:vm-99"),
        pin="sha256:vm-99",
        pod_addresses=("10.1.0.99",),
        origin=origin,
        change_version="1",
    )
    world.vsphere.vms[vm.moref] = vm
    world.vsphere.change(vm.moref)
    world.standby.there = [vm]
    return vm


async def test_it_is_bound_and_nothing_is_cloned(world: World) -> None:
    vm = stand_by(world)
    assert (await world.run_pod()).moref == vm.moref
    assert world.count("clone") == 0
    assert world.standby.counted == ["hit"]
    assert "VirtualMachineBound" in world.events.reasons()


async def test_one_that_somebody_else_got_is_no_loss(world: World) -> None:
    vm = stand_by(world)
    world.vsphere.change(vm.moref, change_version="2")
    assert (await world.run_pod()).moref != vm.moref
    assert world.count("clone") == 1
    assert world.standby.returned == [vm]
    assert world.standby.counted == ["miss"]


async def test_a_failure_is_not_the_end_of_it(world: World) -> None:
    vm = stand_by(world)
    world.vsphere.fail("bind", errors.VCenterUnreachable("gone for a moment"))
    await world.run_pod()
    assert world.standby.returned == [vm]
    assert world.count("clone") == 1


async def test_one_that_was_bound_without_our_knowing_is_the_pods(world: World) -> None:
    vm = stand_by(world)
    world.vsphere.lose_reply("bind", errors.VCenterUnreachable("gone for a moment"))
    assert (await world.run_pod()).moref == vm.moref
    assert world.count("clone") == 0
