"""What vSphere shows is kept as it is shown; absence means something only when the picture is complete."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.pod_controller.inventory import Inventory
from provider.podvm import Appeared, InventoryEvent, Lost, PodVM, PowerState, Synced, Vanished
from tests.builders import UID, make_identity, make_vm

OTHER = "f" + UID[1:]


def make_inventory(*vms: PodVM, synced: bool = True) -> Inventory:
    """An inventory of cluster `c` and VCH `v`, whose VMs were seen at instant 0."""
    inventory = Inventory("c", "v")
    for vm in vms:
        inventory.apply(Appeared(vm), 0.0)
    if synced:
        inventory.apply(Synced(), 0.0)
    return inventory


def seen(inventory: Inventory, uid: str = UID) -> PodVM | None:
    found = inventory.vm(uid)
    return found.vm if found else None


def test_a_vm_is_found_by_the_uid_of_its_pod() -> None:
    vm = make_vm()
    inventory = make_inventory(vm)
    assert seen(inventory) == vm
    assert seen(inventory, OTHER) is None
    assert (len(inventory), inventory.vms(), list(inventory.uids())) == (1, [vm], [UID])


@pytest.mark.parametrize("marks", [{"cluster": "another"}, {"vch": "another"}])
def test_a_vm_of_another_cluster_or_vch_is_not_ours_but_its_address_is_taken(marks: dict[str, str]) -> None:
    foreign = make_vm(identity=make_identity(**marks), address="10.0.0.9")
    inventory = Inventory("c", "v")
    assert inventory.apply(Appeared(foreign), 0.0) == (), "it concerns no Pod of ours"
    assert (len(inventory), inventory.vms(), seen(inventory)) == (0, [], None)
    assert inventory.addresses() == {"10.0.0.9"}
    inventory.apply(Vanished(UID, foreign.moref), 1.0)
    assert inventory.addresses() == set()


def test_a_vm_is_as_it_is_since_its_power_state_changed() -> None:
    inventory = make_inventory(make_vm())
    inventory.apply(Appeared(make_vm(pin="sha256:ab")), 5.0)
    assert (found := inventory.vm(UID)) is not None
    assert (found.vm.pin, found.since) == ("sha256:ab", 0.0)
    inventory.apply(Appeared(make_vm(power_state=PowerState.OFF)), 7.0)
    assert (found := inventory.vm(UID)) is not None
    assert found.since == 7.0


def test_each_event_names_the_pods_that_it_concerns() -> None:
    inventory = Inventory("c", "v")
    assert set(inventory.apply(Appeared(make_vm()), 0.0)) == {UID}
    assert set(inventory.apply(Synced(), 0.0)) == {UID}
    assert set(inventory.apply(Lost(OSError()), 0.0)) == set()
    assert set(inventory.apply(Vanished(UID, "vm-1"), 0.0)) == {UID}


def test_absence_means_something_only_when_the_picture_is_complete() -> None:
    inventory = make_inventory(make_vm(), synced=False)
    assert not inventory.synced
    inventory.apply(Synced(), 0.0)
    assert inventory.synced
    inventory.apply(Lost(OSError()), 1.0)
    assert not inventory.synced
    assert seen(inventory) is not None, "what was seen may still be used"


def test_what_a_new_picture_does_not_show_is_gone() -> None:
    stays, goes = make_vm(), make_vm("vm-2", uid=OTHER)
    inventory = make_inventory(stays, goes)
    inventory.apply(Lost(OSError()), 1.0)
    inventory.apply(Appeared(stays), 2.0)
    assert seen(inventory, OTHER) == goes
    assert set(inventory.apply(Synced(), 3.0)) == {UID, OTHER}
    assert (seen(inventory), seen(inventory, OTHER)) == (stays, None)


def test_a_reconnection_is_no_change_of_a_vm() -> None:
    inventory = make_inventory(make_vm())
    for event in (Lost(OSError()), Appeared(make_vm()), Synced()):
        inventory.apply(event, 9.0)
    assert (found := inventory.vm(UID)) is not None
    assert found.since == 0.0


def test_a_vm_that_we_destroyed_does_not_come_back_by_a_late_update() -> None:
    inventory = make_inventory(make_vm())
    inventory.destroyed("vm-1")
    assert seen(inventory) is None
    assert inventory.apply(Appeared(make_vm()), 1.0) == ()
    assert (seen(inventory), inventory.addresses()) == (None, set())
    inventory.apply(Vanished(UID, "vm-1"), 2.0)
    inventory.apply(Appeared(make_vm("vm-2")), 3.0)
    assert (found := seen(inventory)) is not None
    assert found.moref == "vm-2", "its successor is another VM"


def test_of_two_vms_of_one_pod_the_pinned_one_is_the_vm_and_else_the_first() -> None:
    first, second = make_vm("vm-1"), make_vm("vm-2")
    inventory = make_inventory(first, second)
    assert seen(inventory) == first
    assert inventory.duplicates(UID) == [second]
    pinned = make_vm("vm-2", pin="sha256:ab")
    inventory.apply(Appeared(pinned), 1.0)
    assert seen(inventory) == pinned
    assert inventory.duplicates(UID) == [first]
    inventory.apply(Vanished(UID, "vm-2"), 2.0)
    assert (seen(inventory), inventory.duplicates(UID)) == (first, [])


def test_of_a_vm_and_somebodys_copy_of_it_the_one_with_our_name_is_the_pods_whichever_is_seen_first() -> None:
    original = make_vm("vm-1", pin="sha256:ab")
    copy = replace(original, moref="vm-0", name="for the auditors", power_state=PowerState.OFF)
    for told in ((original, copy), (copy, original)):
        inventory = Inventory("c", "v")
        for vm in told:
            inventory.apply(Appeared(vm), 0.0)
        assert seen(inventory) == original
        assert inventory.duplicates(UID) == [copy]
    standby = replace(original, name="vch-standby-small-c0")
    assert not standby.copied, "what was bound keeps its name"


def test_the_addresses_of_pods_are_in_use_as_long_as_those_of_their_vms() -> None:
    standby = make_vm("vm-5", uid="", name="", address="10.0.0.9", pod_addresses=("10.1.0.9",))
    inventory = make_inventory(make_vm(pod_addresses=("10.1.0.5",)), standby)
    assert inventory.addresses() == {"10.0.0.5", "10.0.0.9", "10.1.0.5", "10.1.0.9"}


def test_two_vms_whose_pods_have_one_address_share_it_as_well() -> None:
    first = make_vm("vm-1", pod_addresses=("10.1.0.5",))
    inventory = make_inventory(first, make_vm("vm-2", uid=OTHER, address="10.0.0.6", pod_addresses=("10.1.0.5",)))
    assert [inventory.address_taken(vm) for vm in inventory.vms()] == [False, True]


def test_of_two_vms_with_one_address_the_one_that_was_fed_may_keep_it_and_else_the_first() -> None:
    first, second = make_vm("vm-1"), make_vm("vm-2", uid=OTHER)
    inventory = make_inventory(first, second, make_vm("vm-3", uid="e" + UID[1:], address="10.0.0.6"))
    assert [inventory.address_taken(vm) for vm in inventory.vms()] == [False, True, False]
    inventory.apply(Appeared(make_vm("vm-2", uid=OTHER, pin="sha256:ab")), 1.0)
    assert [inventory.address_taken(vm) for vm in inventory.vms()] == [True, False, False]


@pytest.mark.parametrize(
    ("state", "runs"), [(PowerState.ON, True), (PowerState.SUSPENDED, True), (PowerState.OFF, False)]
)
def test_an_older_pod_of_the_name_runs_until_its_vm_is_off(state: PowerState, runs: bool) -> None:
    old = make_vm("vm-1", uid=OTHER, power_state=state)
    inventory = make_inventory(old, make_vm("vm-2"), make_vm("vm-3", uid="e" + UID[1:], name="db"))
    assert inventory.running_namesakes("default", "web", UID) == ([old] if runs else [])
    assert inventory.running_namesakes("other", "web", UID) == []


def test_a_vm_whose_marks_are_changed_is_the_new_pods_and_not_the_old_ones() -> None:
    inventory = make_inventory(make_vm())
    assert set(inventory.apply(Appeared(make_vm(uid=OTHER)), 1.0)) == {UID, OTHER}
    assert (seen(inventory), list(inventory.uids())) == (None, [OTHER])
    inventory.apply(Appeared(make_vm(identity=make_identity(vch="another"))), 2.0)
    assert inventory.vms() == []
    inventory.apply(Appeared(make_vm()), 3.0)
    inventory.apply(Vanished(UID, "vm-1"), 4.0)
    assert (inventory.vms(), inventory.addresses(), list(inventory.uids())) == ([], set(), [])


def _events() -> st.SearchStrategy[InventoryEvent | str]:
    vms: list[Any] = [
        make_vm(moref, uid=uid, power_state=state, identity=make_identity(uid=uid, cluster=cluster))
        for moref in ("vm-1", "vm-2", "vm-3")
        for uid in (UID, OTHER)
        for state in (PowerState.ON, PowerState.OFF)
        for cluster in ("c", "another")
    ]
    events = [
        *(Appeared(vm) for vm in vms),
        *(Vanished(vm.identity.uid, vm.moref) for vm in vms),
        *[Synced(), Lost(OSError()), "vm-1", "vm-2"],
    ]
    return st.sampled_from(events)


@given(st.lists(_events(), max_size=30))
def test_whatever_happens_the_ways_to_look_at_it_agree(events: list[InventoryEvent | str]) -> None:
    inventory = Inventory("c", "v")
    for now, event in enumerate(events):
        if isinstance(event, str):
            inventory.destroyed(event)
        else:
            inventory.apply(event, float(now))
        by_uid = {vm.moref for uid in inventory.uids() for vm in (seen(inventory, uid),) if vm is not None}
        doubles = {vm.moref for uid in inventory.uids() for vm in inventory.duplicates(uid)}
        assert by_uid | doubles == {vm.moref for vm in inventory.vms()}
        assert not by_uid & doubles
        namesakes = {vm.moref for vm in inventory.running_namesakes("default", "web", "")}
        assert namesakes == {vm.moref for vm in inventory.vms() if vm.power_state is not PowerState.OFF}


def test_a_standby_clone_is_ours_without_being_a_pods_until_it_is_bound() -> None:
    inventory = make_inventory()
    waiting = make_vm("vm-5", uid="", name="", address="10.0.0.9")
    assert inventory.apply(Appeared(waiting), 1.0) == ()
    assert [seen.vm for seen in inventory.standbys()] == [waiting]
    assert inventory.vms() == []
    assert inventory.addresses() == {"10.0.0.9"}
    bound = make_vm("vm-5", address="10.0.0.9")
    assert inventory.apply(Appeared(bound), 2.0) == (UID,)
    assert inventory.standbys() == []
    assert inventory.vms() == [bound]


def test_a_standby_clone_that_went_unseen_is_forgotten() -> None:
    inventory = make_inventory()
    inventory.apply(Appeared(make_vm("vm-5", uid="")), 1.0)
    inventory.apply(Lost(OSError()), 2.0)
    inventory.apply(Synced(), 3.0)
    assert inventory.standbys() == []
    assert len(inventory) == 0
