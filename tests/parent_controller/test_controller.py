"""Each host has its parents, whatever happens to them; nothing is made twice, and nothing is ever given up."""

import json
from dataclasses import replace
from typing import Any

import pytest

from provider import errors, guestinfo
from provider.parent_controller import ParentInventory
from provider.parent_slots import Demand, Image
from provider.parentvm import ParentAppeared, ParentMarks, ParentVM
from provider.power import PowerState
from tests.builders import make_host, make_parent_vm, make_vm_class
from tests.parent_controller.hosts import BOOT_SECONDS, Hosts

SMALL = Demand("photon", "small")


async def test_parents_are_made_ahead_of_need_on_each_host(hosts: Hosts) -> None:
    await hosts.all_ready()
    assert sorted(vm.host for vm in hosts.parents.values()) == ["host-1", "host-2"]
    assert {vm.moref for vm in hosts.controller.ready(SMALL)} == set(hosts.parents)
    assert len(hosts.requests) == 2


async def test_a_parent_is_told_what_it_is(hosts: Hosts) -> None:
    hosts.images = {"photon": Image("photon", source="vm-9", setup={"sysctls": {"kernel.pid_max": "9999"}})}
    hosts.controller.wake()
    await hosts.all_ready()
    request = hosts.requests[-1]
    told = json.loads(request.extra_config[guestinfo.PARENT])
    assert (told["node"], told["freeze"]) == ("vch", True)
    assert told["setup"] == {"sysctls": {"kernel.pid_max": "9999"}}
    assert len(told["parentId"]) == 32
    assert (request.source, request.cpus, request.memory_mib, request.fork) == ("vm-9", 2, 1024, False)


async def test_no_more_are_made_at_once_than_is_allowed(not_started: Hosts) -> None:
    hosts = not_started
    hosts.hosts = {f"host-{number}": make_host(f"host-{number}") for number in range(1, 7)}
    hosts.start()
    await hosts.all_ready(within=600)
    assert hosts.most_at_once == 2


async def test_a_restart_makes_nothing_anew(hosts: Hosts) -> None:
    await hosts.all_ready()
    await hosts.stop()
    hosts.start()
    await hosts.all_ready()
    assert len(hosts.requests) == 2


async def test_a_parent_that_is_gone_is_made_again(hosts: Hosts) -> None:
    await hosts.all_ready()
    (lost,) = hosts.on("host-1")
    await hosts.power_off(lost.moref)
    await hosts.destroy(lost.moref)
    await hosts.until(lambda: not hosts.on("host-1") and hosts.controller.ready_count() == 1)
    await hosts.all_ready()
    assert len(hosts.requests) == 3


async def test_a_parent_that_thawed_is_not_cloned_until_it_has_frozen_again(hosts: Hosts) -> None:
    await hosts.all_ready()
    (thawed,) = hosts.on("host-1")
    hosts.change(thawed.moref, frozen=False)
    await hosts.until(lambda: hosts.controller.ready_count() == 1)
    hosts.change(thawed.moref, frozen=True)
    await hosts.all_ready()
    assert len(hosts.requests) == 2


async def test_a_parent_that_was_switched_off_is_switched_on(hosts: Hosts) -> None:
    await hosts.all_ready()
    (off,) = hosts.on("host-1")
    hosts.change(off.moref, frozen=False, power_state=PowerState.OFF)
    await hosts.until(lambda: hosts.controller.ready_count() == 1)
    await hosts.all_ready()
    assert [vm.moref for vm in hosts.on("host-1")] == [off.moref]


async def test_a_lost_host_is_waited_for(hosts: Hosts) -> None:
    await hosts.all_ready()
    hosts.change_host("host-1", connected=False)
    await hosts.until(lambda: hosts.controller.ready_count() == 1)
    assert len(hosts.on("host-1")) == 1, "what cannot be seen is not replaced"
    hosts.change_host("host-1", connected=True)
    await hosts.all_ready()
    assert len(hosts.requests) == 2


async def test_an_edited_class_replaces_parents_one_host_after_the_other_can_serve(hosts: Hosts) -> None:
    await hosts.all_ready()
    before = set(hosts.parents)
    hosts.classes = [make_vm_class("small", memory_mib=2048)]
    hosts.controller.wake()
    while before & set(hosts.parents):
        assert len(hosts.controller.ready(SMALL)) == 2, "there is always something to clone from"
        await hosts.until(lambda known=set(hosts.parents): set(hosts.parents) != known)  # type: ignore[misc]
    await hosts.all_ready()
    assert {vm.memory_mib for vm in hosts.parents.values()} == {2048}


async def test_a_class_that_is_gone_takes_its_parents_with_it(hosts: Hosts) -> None:
    hosts.classes = [make_vm_class("small"), make_vm_class("large")]
    hosts.controller.wake()
    await hosts.until(lambda: len(hosts.parents) == 4)
    await hosts.all_ready()
    hosts.classes = [make_vm_class("small")]
    hosts.controller.wake()
    await hosts.until(lambda: len(hosts.parents) == 2)
    assert hosts.controller.ready_count() == 2


async def test_a_parent_that_is_being_cloned_is_not_retired(hosts: Hosts) -> None:
    await hosts.all_ready()
    (parent,) = hosts.on("host-1")
    with hosts.controller.lend(parent):
        hosts.classes = []
        hosts.controller.wake()
        await hosts.until(lambda: len(hosts.parents) == 1)
        assert parent.moref in hosts.parents
    await hosts.until(lambda: not hosts.parents)


async def test_a_parent_that_vsphere_does_not_clone_any_more_is_made_anew(hosts: Hosts) -> None:
    await hosts.all_ready()
    (exhausted,) = hosts.on("host-1")
    hosts.controller.distrust(exhausted)
    await hosts.until(lambda: exhausted.moref not in hosts.parents)
    await hosts.all_ready()
    assert len(hosts.requests) == 3


async def test_a_fork_is_an_instant_clone_of_its_base(hosts: Hosts) -> None:
    hosts.images["fork"] = Image("fork", fork_of="photon", setup={"kernelModules": ["dummy"]})
    hosts.offered = ["fork"]
    hosts.controller.wake()
    await hosts.all_ready()
    bases = {vm.host: vm.moref for vm in hosts.parents.values() if vm.marks.key.image == "photon"}
    forks = [request for request in hosts.requests if request.fork]
    assert {request.host: request.source for request in forks} == bases


async def test_an_edited_base_is_replaced_first_and_its_forks_after_it(hosts: Hosts) -> None:
    hosts.images["fork"] = Image("fork", fork_of="photon")
    hosts.offered = ["fork"]
    hosts.controller.wake()
    await hosts.all_ready()
    hosts.requests.clear()
    hosts.images["photon"] = Image("photon", source="vm-99")
    hosts.controller.wake()
    await hosts.until(lambda: len(hosts.requests) == 4)
    await hosts.all_ready()
    await hosts.until(lambda: len(hosts.parents) == 4)
    new_bases = {vm.moref for vm in hosts.parents.values() if vm.marks.key.image == "photon"}
    assert {request.source for request in hosts.requests if request.fork} == new_bases


async def test_a_failing_agent_is_named_and_tried_again_at_growing_distances(hosts: Hosts) -> None:
    hosts.agent_fails = "preloadImages: there is no image app:1"
    await hosts.until(lambda: hosts.controller.failure() is not None)
    assert "no image app:1" in hosts.controller.waits_for(SMALL)
    tries = len(hosts.requests)
    await hosts.until(lambda: hosts.clock.monotonic() > 3000.0, within=5000)
    assert tries < len(hosts.requests) < 25, "each failure counts before the next one is made"
    hosts.agent_fails = ""
    await hosts.all_ready(within=900)
    assert hosts.controller.failure() is None


async def test_a_template_that_cannot_be_cloned_is_tried_again(not_started: Hosts) -> None:
    hosts = not_started
    hosts.failures = [errors.InsufficientResources("no memory left"), errors.VCenterUnreachable("gone")]
    hosts.start()
    await hosts.until(lambda: "no memory left" in hosts.controller.waits_for(SMALL), within=10)
    await hosts.all_ready()
    assert len(hosts.requests) == 2


async def test_on_demand_a_parent_is_made_for_the_first_pod_that_asks(not_started: Hosts) -> None:
    hosts = not_started
    hosts.prewarm = False
    hosts.start()
    await hosts.until(lambda: hosts.clock.monotonic() > 1100.0)
    assert not hosts.requests
    hosts.controller.ask(Demand("photon", "small", "team-a"))
    await hosts.all_ready()
    assert {vm.marks.key.namespace for vm in hosts.parents.values()} == {"team-a"}
    assert not hosts.controller.ready(SMALL), "another namespace shares no memory with it"


async def test_a_stale_picture_changes_nothing(hosts: Hosts) -> None:
    await hosts.all_ready()
    hosts.disconnect()
    hosts.classes = []
    hosts.controller.wake()
    await hosts.until(lambda: hosts.clock.monotonic() > 1300.0)
    assert len(hosts.parents) == 2
    hosts.connect()
    await hosts.until(lambda: not hosts.parents)


async def test_what_cannot_be_said_to_be_unwanted_is_kept(hosts: Hosts) -> None:
    await hosts.all_ready()
    hosts.images = {}
    hosts.controller.wake()
    await hosts.until(lambda: hosts.controller.error is not None)
    assert isinstance(hosts.controller.error, errors.InvalidSpec)
    assert len(hosts.parents) == 2
    assert len(hosts.controller.ready(SMALL)) == 2


async def test_a_parent_has_an_address_only_while_it_pulls_images(hosts: Hosts) -> None:
    hosts.images = {"photon": Image("photon", source="vm-9", setup={"preloadImages": ["app:1"]})}
    hosts.controller.wake()
    await hosts.until(lambda: len(hosts.addresses) == 2, within=BOOT_SECONDS)
    told = json.loads(hosts.requests[-1].extra_config[guestinfo.PARENT])
    assert told["setup"]["network"]["address"] == "10.0.0.9/24"
    assert [request.pulls for request in hosts.requests] == [False] * 2 + [True] * 2
    await hosts.until(lambda: not hosts.addresses and len(hosts.parents) == 2, within=BOOT_SECONDS)
    assert hosts.inventory.addresses() == {"10.0.0.9"}, "the VM itself says now that it is in use"
    anew = ParentInventory("c", "v")
    for vm in hosts.parents.values():
        anew.apply(ParentAppeared(vm), 0.0)
    assert anew.addresses() == {"10.0.0.9"}, "also to a process that has just started"
    await hosts.all_ready()
    assert hosts.inventory.addresses() == set()


async def test_an_address_is_free_again_when_no_vm_could_be_made_for_it(not_started: Hosts) -> None:
    hosts = not_started
    hosts.images = {"photon": Image("photon", source="vm-9", setup={"preloadImages": ["app:1"]})}
    hosts.failures = [errors.InsufficientResources("no memory left")] * 2
    hosts.start()
    await hosts.until(lambda: not hosts.failures)
    assert not hosts.addresses


async def test_a_parent_that_is_too_old_is_replaced_when_another_can_serve(not_started: Hosts) -> None:
    hosts = not_started
    hosts.max_age = 1000.0
    hosts.start()
    await hosts.all_ready()
    first = set(hosts.parents)
    await hosts.until(lambda: hosts.clock.monotonic() > 1900.0, within=1000)
    assert set(hosts.parents) == first
    while first & set(hosts.parents):
        assert len(hosts.controller.ready(SMALL)) == 2, "there is always something to clone from"
        await hosts.until(lambda known=set(hosts.parents): set(hosts.parents) != known)  # type: ignore[misc]
    await hosts.all_ready()
    assert len(hosts.requests) == 4


async def test_a_parent_that_is_being_made_is_switched_on_by_its_maker_alone(hosts: Hosts) -> None:
    hosts.slow_power_on = 1.0
    await hosts.all_ready()
    assert sorted(hosts.powered_on) == sorted(hosts.parents)


async def test_a_parent_that_cannot_be_destroyed_is_tried_again_at_growing_distances(hosts: Hosts) -> None:
    await hosts.all_ready()
    hosts.destroy_fails = errors.TaskFailed("the disk is locked")
    hosts.classes = []
    hosts.controller.wake()
    await hosts.until(lambda: hosts.clock.monotonic() > 1600.0, within=1000)
    assert 4 < hosts.destroys < 40
    hosts.destroy_fails = None
    await hosts.until(lambda: not hosts.parents, within=400)


async def test_a_fork_that_goes_off_again_and_again_is_made_at_growing_distances(hosts: Hosts) -> None:
    await hosts.all_ready()
    hosts.forks_crash = True
    hosts.images["fork"] = Image("fork", fork_of="photon")
    hosts.offered = ["photon", "fork"]
    hosts.controller.wake()
    await hosts.until(lambda: hosts.clock.monotonic() > 1600.0, within=1000)
    assert 6 < len(hosts.requests) < 40
    assert "it is off" in hosts.controller.waits_for(Demand("fork", "small"))
    assert "it is off" in str(hosts.controller.failure("fork"))
    assert hosts.controller.failure("photon") is None


# Others' VMs.


def _of(marks: ParentMarks, moref: str, name: str, **fields: Any) -> ParentVM:
    return make_parent_vm(moref, marks=marks, name=name, **fields)


@pytest.mark.parametrize("state", [PowerState.ON, PowerState.OFF])
async def test_parents_of_others_are_never_touched(not_started: Hosts, state: PowerState) -> None:
    """Of another VCH, of another cluster, and an admin's copy of ours, which has its marks too."""
    hosts = not_started
    hosts.start()
    await hosts.all_ready()
    (ours,) = hosts.on("host-1")
    foreign = [
        _of(replace(ours.marks, vch="another"), "vm-0", ours.name, power_state=state),
        _of(replace(ours.marks, cluster="another"), "vm-1", ours.name, power_state=state),
        _of(ours.marks, "vm-2", "golden copy of a parent", power_state=state),
        _of(ours.marks, "vm-3", "thawed copy of a parent", power_state=state, frozen=False),
        _of(replace(ours.marks, digest="outdated"), "vm-4", "old copy", power_state=state),
    ]
    hosts.parents = {**{vm.moref: vm for vm in foreign}, **hosts.parents}
    for vm in foreign:
        hosts.tell(ParentAppeared(vm))
    await hosts.until(lambda: hosts.clock.monotonic() > 2000.0, within=2000)
    assert hosts.controller.ready_count() == 2
    hosts.images = {"photon": Image("photon", source="vm-99")}  # every parent is replaced
    hosts.controller.wake()
    await hosts.until(lambda: ours.moref not in hosts.parents)
    await hosts.all_ready()
    await hosts.stop()
    hosts.start()  # a process that has seen nothing of what was before
    await hosts.all_ready()
    hosts.classes = []  # no parent is wanted any more
    hosts.controller.wake()
    await hosts.until(lambda: len(hosts.parents) == len(foreign))
    await hosts.until(lambda: hosts.clock.monotonic() > 6000.0, within=6000)
    assert list(hosts.parents.values()) == foreign
    assert len(hosts.requests) == 4


async def test_a_parent_that_an_admin_gives_another_name_is_the_admins(hosts: Hosts) -> None:
    await hosts.all_ready()
    (taken,) = hosts.on("host-1")
    hosts.change(taken.moref, name="mine now")
    await hosts.until(lambda: len(hosts.on("host-1")) == 2)
    await hosts.all_ready()
    hosts.classes = []
    hosts.controller.wake()
    await hosts.until(lambda: len(hosts.parents) == 1)
    assert hosts.parents[taken.moref].power_state is PowerState.ON
