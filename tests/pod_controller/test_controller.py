"""Every UID has one worker; a restart, a list or a mistake of others never costs a Pod its VM."""

import asyncio
import copy
from dataclasses import replace

import pytest

from provider import errors
from provider.brake import ABSENT_SECONDS, AT_ONCE, QUARANTINE
from provider.kube.operator_objects import ListedPod
from provider.pod_controller.controller import STALLED_SECONDS
from provider.podvm import PowerState
from tests.builders import make_identity, make_vm
from tests.pod_controller.world import World

RESYNC = 65.0


# A restart.


async def test_a_restart_adopts_a_vm_without_a_word(world: World) -> None:
    vm = await world.run_pod()
    before = world.pods.status()
    world.forget_done()
    await world.restart()
    await world.until(lambda: len(world.guests.fed[vm.moref]) > 1)
    await world.passes(300)
    assert world.done == [], "no clone, no pin, no status"
    assert world.pods.status() == before
    assert world.controller.find("default", "web", None) is not None


@pytest.mark.parametrize("after", [0.1, 0.3, 0.55, 0.65, 0.75, 0.85, 1.0])
async def test_a_restart_at_any_moment_of_a_start_leads_to_one_vm(world: World, after: float) -> None:
    world.pods.create()
    await world.passes(after)
    await world.restart()
    await world.until(lambda: world.pods.phase() == "Running", within=300)
    await world.passes(120)
    assert len(world.vsphere.vms) == 1
    assert world.pods.phase() == "Running"


async def test_a_clone_that_outlives_the_process_shares_its_address_with_no_pod(world: World) -> None:
    world.pods.create("first")
    await world.passes(0.25)
    await world.stop()
    world.pods.create("second")
    world.pods.stored = dict(reversed(world.pods.stored.items()))  # it is seen before the first one
    world.start()
    await world.until(lambda: {world.pods.phase(name) for name in ("first", "second")} == {"Running"})
    assert len({vm.address for vm in world.vsphere.vms.values()}) == 2
    assert len({vm.pod_addresses for vm in world.vsphere.vms.values()}) == 2


@pytest.mark.parametrize("after", [0.05, 0.5, 1.5, 2.2, 2.4, 2.6])
async def test_a_restart_at_any_moment_of_an_end_leaves_nothing(world: World, after: float) -> None:
    await world.run_pod()
    world.pods.delete()
    await world.passes(after)
    await world.restart()
    await world.until(lambda: not world.vsphere.vms, within=200)
    assert world.pods.phase() == "gone"


async def test_a_pod_whose_vm_was_lost_while_nobody_looked_fails_after_the_restart(world: World) -> None:
    vm = await world.run_pod()
    await world.stop()
    world.vsphere.vanish(vm.moref)
    world.start()
    await world.until(lambda: world.pods.status().get("reason") == "VirtualMachineLost")
    assert world.count("clone") == 1


async def test_the_vm_of_a_pod_that_went_while_nobody_looked_is_collected(world: World) -> None:
    await world.run_pod()
    await world.stop()
    world.pods.delete(grace=0)
    world.start()
    await world.passes(20)
    assert len(world.vsphere.vms) == 1
    await world.until(lambda: not world.vsphere.vms, within=100)


async def test_the_end_of_the_process_leaves_vms_and_pods_as_they_are(world: World) -> None:
    await world.run_pod()
    world.forget_done()
    await world.stop()
    await world.passes(100)
    assert world.done == []
    assert len(world.vsphere.running()) == 1


# The same name again.


async def test_a_pod_of_the_same_name_waits_until_its_predecessors_vm_is_off(world: World) -> None:
    old = await world.run_pod()
    world.pods.delete(grace=0)
    world.pods.create()
    await world.until(lambda: world.pods.phase() == "Running")
    calls = world.done
    assert calls.index(("power_off", old.moref)) < [call for call, _ in calls].index("clone", 1)
    assert [vm.name for vm in world.vsphere.running()] != [old.name]


async def test_a_pod_of_the_same_name_waits_after_a_restart_too(world: World) -> None:
    old = await world.run_pod()
    await world.stop()
    world.pods.delete(grace=0)
    world.pods.create()
    world.start()
    await world.until(lambda: world.pods.phase() == "Running")
    await world.until(lambda: not world.vsphere.of(old.identity.uid))


async def test_a_pod_of_the_same_name_waits_while_the_old_vm_cannot_be_switched_off(world: World) -> None:
    await world.run_pod()
    world.vsphere.fail("power_off", *[errors.VCenterUnreachable("gone")] * 4)
    world.pods.delete(grace=0)
    world.pods.create()
    await world.passes(10)
    assert world.count("clone") == 1
    await world.until(lambda: world.pods.phase() == "Running")


async def test_a_pod_of_the_same_name_tells_that_the_old_one_is_gone(world: World) -> None:
    old = await world.run_pod()
    world.pods.watch = None  # nobody tells that it went
    world.pods.delete(grace=0)
    new = world.pods.create()
    world.pods.watch = world.controller
    world.controller.pod_seen(copy.deepcopy(new))
    await world.until(lambda: world.pods.phase() == "Running")
    assert world.vsphere.of(old.identity.uid) == []


async def test_late_news_of_an_older_pod_of_the_name_does_not_end_the_new_one(world: World) -> None:
    await world.run_pod()
    late = copy.deepcopy(world.pods.stored["web"])
    world.pods.delete(grace=0)
    vm = await world.run_pod()
    world.controller.pod_seen(late)
    await world.passes(30)
    assert [each.moref for each in world.vsphere.running()] == [vm.moref]
    assert world.count("clone") == 2


# What lists say.


async def test_a_list_without_a_pod_is_confirmed_by_a_live_read(world: World) -> None:
    vm = await world.run_pod()
    world.pods.hide_from_list("web")
    world.controller.pods_relisted()
    await world.passes(3 * RESYNC)
    assert [each.moref for each in world.vsphere.running()] == [vm.moref]


async def test_a_pod_whose_end_nobody_told_is_missed_in_the_next_list(world: World) -> None:
    await world.run_pod()
    world.pods.watch = None
    world.pods.delete(grace=0)
    world.controller.pods_relisted()
    await world.passes(ABSENT_SECONDS)
    assert len(world.vsphere.running()) == 1, "a list and a live read may be of a lagging API server"
    await world.until(lambda: not world.vsphere.vms, within=10)


async def test_a_pod_that_is_only_missing_for_a_moment_is_not_asked_about(world: World) -> None:
    vm = await world.run_pod()
    world.pods.hide_from_list("web")
    world.controller.pods_relisted()
    await world.passes(ABSENT_SECONDS / 2)
    world.pods._hidden.clear()
    world.controller.pods_relisted()
    await world.passes(5)
    world.pods.hide_from_list("web")
    world.controller.pods_relisted()
    await world.passes(ABSENT_SECONDS / 2)
    world.pods.stored.clear()  # a live read would say so, but the time is not over
    await world.passes(ABSENT_SECONDS / 2 - 5)
    assert [each.moref for each in world.vsphere.running()] == [vm.moref]


async def test_a_change_that_a_dead_watch_did_not_tell_is_learnt_by_listing(world: World) -> None:
    vm = await world.run_pod()
    world.pods.watch = None  # connected, as far as anybody can see
    world.pods.delete(grace=30)
    await world.until(lambda: "deletionTimestamp" in world.guests.fed[vm.moref][-1]["metadata"], within=RESYNC)
    await world.until(lambda: world.pods.phase() == "gone", within=10)


async def test_a_pod_that_nobody_told_of_is_found_in_the_next_list(world: World) -> None:
    world.pods.watch = None
    pod = world.pods.create()
    world.pods.watch = world.controller
    await world.until(lambda: world.pods.phase() == "Running", within=RESYNC + 5)
    assert world.controller.knows(pod["metadata"]["uid"])


async def test_a_list_that_fails_says_nothing(world: World) -> None:
    await world.run_pod()
    world.pods.fail("list_pods", *[errors.KubeUnavailable("down")] * 3)
    world.pods.fail("get_pod", *[errors.KubeUnavailable("down")] * 3)
    world.controller.pods_relisted()
    await world.passes(3 * RESYNC)
    assert len(world.vsphere.running()) == 1


async def test_many_pods_that_vanish_at_once_keep_their_vms_for_the_quarantine(world: World) -> None:
    names = [f"web-{number}" for number in range(AT_ONCE + 1)]
    for name in names:
        await world.run_pod(name)
    world.pods.watch = None
    for name in names:
        world.pods.delete(name, grace=0)
    await world.passes(QUARANTINE / 2)
    assert len(world.vsphere.running()) == len(names)
    await world.until(lambda: not world.vsphere.vms, within=QUARANTINE)


async def test_a_few_pods_that_vanish_need_not_wait_so_long(world: World) -> None:
    for number in range(AT_ONCE):
        await world.run_pod(f"web-{number}")
    world.pods.watch = None
    for number in range(AT_ONCE):
        world.pods.delete(f"web-{number}", grace=0)
    await world.until(lambda: not world.vsphere.vms, within=RESYNC + ABSENT_SECONDS + 5)


# Others.


async def test_a_vm_of_another_vch_is_never_touched(world: World) -> None:
    foreign = make_vm("vm-99", identity=make_identity(vch="another", name="theirs"))
    world.vsphere.vms["vm-99"] = foreign
    await world.restart()
    vm = await world.run_pod()
    assert vm.address != foreign.address
    world.pods.delete()
    await world.passes(300)
    assert list(world.vsphere.vms.values()) == [foreign]
    assert not [each for each in world.done if "vm-99" in each]


async def test_a_second_vm_of_a_pod_goes_and_the_one_that_was_fed_stays(world: World) -> None:
    vm = await world.run_pod()
    double = make_vm("vm-99", identity=vm.identity, address="10.0.0.99")
    world.vsphere.vms["vm-99"] = double
    world.vsphere.change("vm-99")
    await world.until(lambda: "vm-99" not in world.vsphere.vms, within=100)
    assert world.pods.phase() == "Running"
    assert [each.moref for each in world.vsphere.running()] == [vm.moref]


async def test_an_admins_copy_of_a_vm_disturbs_its_pod_neither_now_nor_after_a_restart(world: World) -> None:
    vm = await world.run_pod()
    copy = replace(vm, moref="vm-0", name="for the auditors", power_state=PowerState.OFF)
    world.vsphere.vms = {"vm-0": copy, **world.vsphere.vms}  # it is told of first
    world.vsphere.change("vm-0")
    await world.passes(200)
    await world.restart()
    await world.passes(200)
    assert world.pods.phase() == "Running"
    assert not [each for each in world.done if "vm-0" in each], "nothing was done to it"
    world.pods.delete()
    await world.until(lambda: not world.vsphere.vms, within=100)
    assert world.pods.phase() == "gone", "but it has the Pod's marks, and with them what the Pod was told: it ends too"


async def test_a_defect_does_not_leave_a_pod_without_a_worker(world: World) -> None:
    world.vsphere.fail("clone", RuntimeError("a defect"))
    world.pods.create()
    await world.until(lambda: world.pods.phase() == "Running")
    assert world.count("clone") == 2


async def test_a_controller_is_idle_when_neither_pods_nor_vms_are_left(world: World) -> None:
    await world.run_pod("a")
    await world.run_pod("b")
    world.pods.delete("a")
    world.pods.delete("b")
    await world.controller.idle()
    assert (world.vsphere.vms, list(world.controller.workers())) == ({}, [])
    assert world.controller.find("default", "a", None) is None


async def test_a_pod_is_found_by_name_and_not_by_anothers_uid(world: World) -> None:
    vm = await world.run_pod()
    assert world.controller.find("default", "web", vm.identity.uid) is not None
    assert world.controller.find("default", "web", "another") is None
    assert world.controller.find("other", "web", None) is None


# A loop that hangs.


async def test_a_loop_that_hangs_is_noticed_and_one_that_only_fails_is_not_meant(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.run_pod()
    world.pods.fail("list_pods", *[errors.KubeUnavailable("down")] * 10)
    world.vsphere.disconnect()
    await world.passes(2 * STALLED_SECONDS)
    assert not world.controller.stalled(), "neither the API server nor vCenter is this process"

    async def hang(node: str) -> dict[str, ListedPod]:
        await asyncio.sleep(1e6)
        return {}

    monkeypatch.setattr(world.pods, "list_pods", hang)
    await world.passes(RESYNC + STALLED_SECONDS)
    assert world.controller.stalled()
    await world.stop()
    assert not world.controller.stalled(), "what does not run does not hang"
