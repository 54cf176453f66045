"""From changes of single properties to events: what is new, what is gone, and what is no news."""

from typing import Any

from pyVmomi import vim

from provider import guestinfo
from provider.parentvm import (
    HostChanged,
    HostVanished,
    ParentAppeared,
    ParentKey,
    ParentMarks,
    ParentVanished,
    PoolChanged,
    ResourcePool,
)
from provider.podvm import Appeared, Vanished
from provider.vsphere.picture import HOST, POOL, TASK, VM, Change, Picture

from .conftest import make_facts

PARENT = guestinfo.encode_parent(ParentMarks("c", "v", "p0", ParentKey("host-1", "photon", "small"), "d1"), {})


def vm(extra_config: dict[str, str], moref: str = "vm-1", properties: dict[str, Any] | None = None) -> Change:
    option: Any = vim.option.OptionValue
    told = {f'config.extraConfig["{key}"]': option(key=key, value=value) for key, value in extra_config.items()}
    return Change(moref, VM, {"name": "x", "runtime.powerState": "poweredOn", **told, **(properties or {})})


def gone(moref: str, kind: str = VM) -> Change:
    return Change(moref, kind, {}, gone=True)


def test_what_has_no_marks_is_no_event() -> None:
    picture = Picture()
    assert picture.apply([vm({}), vm({}, "vm-2")]) == []
    assert picture.apply([gone("vm-1")]) == []


def test_a_change_that_changes_nothing_for_us_is_no_news() -> None:
    picture = Picture()
    clone = guestinfo.encode_clone(make_facts())
    (event,) = picture.apply([vm(clone)])
    assert isinstance(event, Appeared)
    assert picture.apply([vm(clone)]) == []
    assert picture.apply([Change("vm-1", VM, {"config.changeVersion": "8"})]) == []


def test_the_change_version_of_a_standby_vm_is_news() -> None:
    picture = Picture()
    picture.apply([vm(guestinfo.encode_clone(make_facts(uid="")), properties={"config.changeVersion": "1"})])
    (event,) = picture.apply([Change("vm-1", VM, {"config.changeVersion": "2"})])
    assert isinstance(event, Appeared)
    assert event.vm.change_version == "2"


def test_a_standby_vm_that_is_bound_appears_as_the_pods_and_vanishes_as_such() -> None:
    picture = Picture()
    picture.apply([vm(guestinfo.encode_clone(make_facts(uid="")))])
    (event,) = picture.apply([vm(guestinfo.encode_bind(make_facts()))])
    assert isinstance(event, Appeared)
    assert event.vm.identity.uid == "uid-1"
    assert picture.apply([gone("vm-1")]) == [Vanished("uid-1", "vm-1")]


def test_marks_that_are_taken_away_make_a_vm_vanish() -> None:
    picture = Picture()
    picture.apply([vm(guestinfo.encode_clone(make_facts())), vm(PARENT, "vm-2")])
    events = picture.apply([vm({guestinfo.VCH: ""}), vm({guestinfo.PARENT_MARKS: ""}, "vm-2")])
    assert events == [Vanished("uid-1", "vm-1"), ParentVanished("vm-2")]


def test_a_frozen_parent_that_is_off_is_not_frozen() -> None:
    picture = Picture()
    (event,) = picture.apply([vm(PARENT, properties={"runtime.instantCloneFrozen": True})])
    assert isinstance(event, ParentAppeared)
    assert event.vm.frozen
    (event,) = picture.apply([Change("vm-1", VM, {"runtime.powerState": "poweredOff"})])
    assert isinstance(event, ParentAppeared)
    assert not event.vm.frozen


def test_a_vm_of_which_nothing_is_known_yet_breaks_nothing() -> None:
    assert Picture().apply([Change("vm-1", VM, {}), Change("vm-2", VM, {"name": None})]) == []


def test_hosts_that_do_not_count_are_not_told() -> None:
    picture = Picture(("host-1",))
    state = {"name": "h", "runtime.connectionState": "connected"}
    events = picture.apply([Change("host-1", HOST, state), Change("host-2", HOST, state)])
    assert [event.host.moref for event in events if isinstance(event, HostChanged)] == ["host-1"]
    assert picture.apply([gone("host-1", HOST), gone("host-2", HOST)]) == [HostVanished("host-1")]


def test_a_host_that_does_not_respond_is_not_connected() -> None:
    (event,) = Picture().apply([Change("host-1", HOST, {"name": "h", "runtime.connectionState": "notResponding"})])
    assert isinstance(event, HostChanged)
    assert not event.host.usable


def test_a_pools_limits_are_bytes_and_none_is_none() -> None:
    picture = Picture()
    limits = {"name": "p", "config.cpuAllocation.limit": -1, "config.memoryAllocation.limit": 1024}
    assert picture.apply([Change("r", POOL, limits)]) == [PoolChanged(ResourcePool("r", "p", None, 2**30))]
    assert picture.apply([gone("r", POOL)]) == [PoolChanged(ResourcePool("r", "p", 0, 0))]


def test_a_task_that_ended_is_an_outcome_and_no_event() -> None:
    picture = Picture()
    running = [Change("task-1", TASK, {"info.state": "running"})]
    assert (picture.apply(running), list(picture.outcomes(running))) == ([], [])
    (outcome,) = picture.outcomes([Change("task-1", TASK, {"info.state": "success", "info.result": "vm-1"})])
    assert (outcome.moref, outcome.result, outcome.fault) == ("task-1", "vm-1", None)
