"""So many clones wait for Pods as are wanted; each serves one Pod, and one that is of no use is replaced."""

import pytest

from provider import errors
from provider.addresses import VMAddresses
from provider.parent_slots import Demand
from provider.podvm import PodVM, PowerState
from provider.standby_controller import Standby, wanted
from tests.builders import make_identity, make_parent_vm, make_plan, make_vm, make_vm_class
from tests.standby_controller.reserve import SMALL, Reserve


def taken(vm: PodVM | None) -> PodVM:
    assert vm is not None
    return vm


def test_each_class_has_its_own_count_and_image() -> None:
    assert wanted({"small": 2, "large": 0, "own": 1}, {"small": "photon", "large": "photon", "own": "fork"}) == [
        Standby(Demand("photon", "small"), 2),
        Standby(Demand("fork", "own"), 1),
    ]


async def test_as_many_are_made_as_are_wanted(reserve: Reserve) -> None:
    vms = list(reserve.vsphere.vms.values())
    assert len(vms) == 2
    assert all(vm.standby and vm.pin for vm in vms)
    assert len({vm.address for vm in vms}) == 2
    assert len({vm.clone_id for vm in vms}) == 2
    await reserve.until(lambda: reserve.clock.monotonic() > 2000.0, within=2000)
    assert reserve.count("clone") == 2


async def test_no_more_are_made_when_a_later_one_is_there_first(not_started: Reserve) -> None:
    not_started.wants = [Standby(SMALL, 5)]
    not_started.start()
    await not_started.until(lambda: not_started.count("clone") == 5)
    not_started.vsphere.behaviour.watch_lags = 3.0
    await not_started.ready(5)
    assert not_started.count("clone") == 5
    assert not_started.count("destroy") == 0


async def test_a_pod_gets_one_and_another_takes_its_place(reserve: Reserve) -> None:
    vm = taken(reserve.take())
    await reserve.bind(vm)
    await reserve.until(lambda: reserve.inventory.vm("uid-1"))
    await reserve.ready(2)
    assert len(reserve.vsphere.vms) == 3
    assert (reserve.controller.hits, reserve.controller.misses) == (1, 0)
    assert vm.moref not in {seen.vm.moref for seen in reserve.inventory.standbys()}


async def test_we_are_connected_to_those_that_wait_and_to_no_others(reserve: Reserve) -> None:
    await reserve.until(lambda: len(reserve.held) == 2)
    vm = taken(reserve.take())
    await reserve.until(lambda: vm.moref not in reserve.held)
    await reserve.bind(vm)
    await reserve.until(lambda: len(reserve.held) == 2)
    assert vm.moref not in reserve.held
    await reserve.stop()
    assert not reserve.held


async def test_each_is_given_to_one_pod_only(reserve: Reserve) -> None:
    given = [reserve.take(f"uid-{number}") for number in range(3)]
    assert len({vm.moref for vm in given if vm}) == 2
    assert given[2] is None


async def test_of_two_providers_that_reach_for_one_vm_one_gets_it(reserve: Reserve) -> None:
    vm = taken(reserve.take())
    await reserve.bind(vm, "uid-1")
    with pytest.raises(errors.StandbyTaken):
        await reserve.bind(vm, "uid-2")
    assert reserve.vsphere.vms[vm.moref].identity.uid == "uid-1"


async def test_one_that_could_not_be_bound_is_there_for_the_next_pod(reserve: Reserve) -> None:
    vms = [taken(reserve.take()), taken(reserve.take())]
    assert reserve.controller.ready_count() == 0
    reserve.controller.give_back(vms[0])
    assert taken(reserve.take("uid-2")).moref == vms[0].moref


async def test_only_one_that_fits_is_taken(reserve: Reserve) -> None:
    assert reserve.take(image="other") is None
    assert reserve.take(vm_class=make_vm_class("large")) is None
    assert reserve.take(shares="team-a") is None


async def test_a_pod_that_waits_is_one_miss_and_of_what_nobody_wants_to_be_there_none(reserve: Reserve) -> None:
    reserve.take(), reserve.take()
    for _ in range(3):
        assert reserve.take("uid-3") is None
    assert reserve.controller.misses == 0, "it may get one yet"
    reserve.controller.cloned(make_plan())
    assert reserve.controller.misses == 1
    reserve.controller.cloned(make_plan(image="other"))
    assert reserve.controller.misses == 1


async def test_one_whose_pin_is_not_seen_yet_is_not_taken(not_started: Reserve) -> None:
    not_started.vsphere.behaviour.watch_lags = 5.0
    not_started.start()
    await not_started.until(lambda: not_started.count("pin") == 2)
    assert not_started.take() is None
    await not_started.ready(2)
    await not_started.bind(taken(not_started.take()))


async def test_outdated_ones_are_replaced(reserve: Reserve) -> None:
    old = set(reserve.vsphere.vms)
    reserve.vsphere.parent = make_parent_vm("vm-8")
    reserve.current = {reserve.vsphere.parent.marks.parent_id}
    assert reserve.take() is None, "a Pod gets what the class is now"
    reserve.controller.hurry()
    await reserve.until(lambda: not old & set(reserve.vsphere.vms))
    await reserve.ready(2)


async def test_fewer_are_wanted(reserve: Reserve) -> None:
    reserve.wants = [Standby(SMALL, 1)]
    reserve.controller.wake()
    await reserve.until(lambda: len(reserve.vsphere.vms) == 1)
    reserve.wants = []
    reserve.controller.wake()
    await reserve.until(lambda: not reserve.vsphere.vms)


async def test_a_process_that_starts_adopts_those_that_are_there(reserve: Reserve) -> None:
    before = set(reserve.vsphere.vms)
    await reserve.stop()
    reserve.known, reserve.current = False, set()
    reserve.start()
    await reserve.until(lambda: reserve.clock.monotonic() > 1200.0)
    assert set(reserve.vsphere.vms) == before, "what is current is not known yet"
    parent = reserve.vsphere.parent
    assert parent is not None
    reserve.known, reserve.current = True, {parent.marks.parent_id}
    reserve.controller.hurry()
    await reserve.ready(2)
    assert set(reserve.vsphere.vms) == before
    await reserve.bind(taken(reserve.take()))


async def test_one_that_went_off_is_replaced(reserve: Reserve) -> None:
    off = next(iter(reserve.vsphere.vms))
    reserve.vsphere.change(off, power_state=PowerState.OFF)
    await reserve.until(lambda: off not in reserve.vsphere.vms)
    await reserve.ready(2)


async def test_a_silent_one_is_replaced_in_time(not_started: Reserve) -> None:
    not_started.vsphere.behaviour.agents_report = False
    not_started.start()
    await not_started.until(lambda: len(not_started.vsphere.vms) == 2)
    silent = set(not_started.vsphere.vms)
    not_started.vsphere.behaviour.agents_report = True
    await not_started.until(lambda: not silent & set(not_started.vsphere.vms), within=90)
    await not_started.ready(2)


async def test_one_whose_guest_refuses_is_replaced(not_started: Reserve) -> None:
    not_started.vsphere.behaviour.agents_refuse = True
    not_started.start()
    await not_started.until(lambda: not_started.count("destroy") >= 2)
    not_started.vsphere.behaviour.agents_refuse = False
    await not_started.ready(2)
    assert not_started.count("pin") == 2


async def test_without_a_parent_it_is_tried_again_and_at_once_when_there_is_one(not_started: Reserve) -> None:
    parent, not_started.vsphere.parent = not_started.vsphere.parent, None
    not_started.start()
    await not_started.until(lambda: not_started.clock.monotonic() > 1500.0, within=1000)
    not_started.vsphere.parent = parent
    not_started.controller.hurry()
    await not_started.until(lambda: not_started.controller.ready_count() == 2, within=5)


async def test_what_fails_is_tried_again_at_growing_distances(reserve: Reserve) -> None:
    reserve.vsphere.fail("destroy", *[errors.TaskFailed("the disk is locked")] * 5)
    reserve.wants = [Standby(SMALL, 1)]
    reserve.controller.wake()
    await reserve.until(lambda: len(reserve.vsphere.vms) == 1, within=600)
    assert reserve.clock.monotonic() > 1030.0
    assert reserve.count("destroy") == 6


async def test_a_defect_is_tried_again_at_growing_distances_too(not_started: Reserve) -> None:
    not_started.vsphere.fail("clone", *[RuntimeError("a defect")] * 100)
    not_started.start()
    await not_started.until(lambda: not_started.clock.monotonic() > 1600.0, within=700)
    assert not_started.count("clone") < 30
    not_started.vsphere.behaviour.next_errors.clear()
    not_started.controller.hurry()
    await not_started.ready(2)


async def test_one_whose_addresses_are_not_of_the_ranges_any_more_is_replaced(reserve: Reserve) -> None:
    before = set(reserve.vsphere.vms)
    reserve.fits = lambda addresses: addresses.pods[0] in {"10.1.0.7", "10.1.0.8"}
    assert reserve.take() is None
    reserve.controller.wake()
    await reserve.until(lambda: len(reserve.vsphere.vms) == 2 and not before & set(reserve.vsphere.vms))


async def test_standby_clones_of_others_are_never_touched(not_started: Reserve) -> None:
    for number, owner in enumerate(({"vch": "another"}, {"cluster": "another"})):
        nobody = make_identity(namespace="", name="", uid="", **owner)
        moref = f"vm-9{number}"
        not_started.vsphere.vms[moref] = make_vm(moref, identity=nobody, power_state=PowerState.OFF)
    foreign = dict(not_started.vsphere.vms)
    not_started.start()
    await not_started.ready(2)
    not_started.wants = []
    not_started.controller.wake()
    await not_started.until(lambda: not_started.vsphere.vms == foreign)
    await not_started.until(lambda: not_started.clock.monotonic() > 2000.0, within=2000)
    assert not_started.vsphere.vms == foreign
    assert not {what for _, what in not_started.done} & set(foreign)


async def test_addresses_are_free_again_when_cloning_fails(not_started: Reserve) -> None:
    not_started.vsphere.fail("clone", *[errors.InsufficientResources("no memory left")] * 4)
    not_started.start()
    await not_started.ready(2)
    others = {not_started.addresses.reserve(f"uid-{number}", "") for number in range(46 - 2)}
    taken = {VMAddresses(vm.address, vm.pod_addresses) for vm in not_started.vsphere.vms.values()}
    assert len(taken) == 2
    assert {each.management for each in others}.isdisjoint(each.management for each in taken), "all others are free"
    assert {each.pods for each in others}.isdisjoint(each.pods for each in taken)


async def test_a_stale_picture_changes_nothing(reserve: Reserve) -> None:
    reserve.vsphere.disconnect()
    reserve.wants = []
    reserve.controller.wake()
    await reserve.until(lambda: reserve.clock.monotonic() > 1200.0)
    assert len(reserve.vsphere.vms) == 2
