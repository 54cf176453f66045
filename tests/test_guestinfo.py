"""What VMs carry, both ways, and whose they are."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider import guestinfo
from provider.guestinfo import CloneFacts, GuestNetwork
from provider.parentvm import ParentKey, ParentMarks
from provider.podvm import CloneOrigin, PowerState
from tests.builders import make_identity, make_pod_network

MARKS = ParentMarks("c", "v", "p0", ParentKey("host-1", "photon", "small", "team-a"), "d1")


def make_clone_facts(**fields: Any) -> CloneFacts:
    given: dict[str, Any] = {
        "identity": make_identity(),
        "clone_id": "c0",
        "hostname": "web",
        "network": GuestNetwork("10.0.0.5", 24, "10.0.0.1", ("10.0.0.2",)),
        "pod_network": make_pod_network("10.1.0.5", gateways=("10.1.0.1",), isolation="Pod", denied=("10.0.0.0/24",)),
        "client_ca_pem": "PEM",
        "seed": b"s" * 64,
        "now": 1.5,
        "origin": CloneOrigin("p0", "photon", "small"),
    }
    return CloneFacts(**{**given, **fields})


def test_what_is_written_at_the_clone_is_read_from_the_vm() -> None:
    written = guestinfo.encode_clone(make_clone_facts())
    vm = guestinfo.decode_pod_vm("vm-1", "web", PowerState.ON, written)
    assert vm is not None
    assert vm.identity == make_identity()
    assert (vm.address, vm.pod_addresses) == ("10.0.0.5", ("10.1.0.5",))
    assert (vm.clone_id, vm.pin, vm.report) == ("c0", None, None)
    assert (vm.origin, vm.standby) == (CloneOrigin("p0", "photon", "small"), False)


def test_what_decides_whose_vm_it_is_is_out_of_the_guests_reach() -> None:
    written = guestinfo.encode_clone(make_clone_facts())
    marks = [key for key in written if not key.startswith("guestinfo.")]
    assert {guestinfo.POD_UID, guestinfo.CLUSTER, guestinfo.VCH, guestinfo.ADDRESS, guestinfo.POD_ADDRESS} <= set(marks)


@pytest.mark.parametrize("missing", [guestinfo.CLUSTER, guestinfo.VCH, guestinfo.POD_UID, guestinfo.NODE])
def test_a_vm_without_all_marks_is_not_ours(missing: str) -> None:
    written = {**guestinfo.encode_clone(make_clone_facts()), missing: ""}
    assert guestinfo.decode_pod_vm("vm-1", "web", PowerState.ON, written) is None


def test_a_clone_is_born_without_the_pin_and_the_report_of_its_source() -> None:
    written = guestinfo.encode_clone(make_clone_facts())
    assert (written[guestinfo.PIN], written[guestinfo.REPORT]) == ("", "")


def test_what_a_guest_is_told_is_what_its_agent_reads() -> None:
    told = json.loads(guestinfo.encode_clone(make_clone_facts())[guestinfo.IDENTITY])
    assert told["pod"] == {"namespace": "default", "name": "web", "uid": make_identity().uid}
    assert (told["address"], told["gateway"], told["nameservers"]) == ("10.0.0.5/24", "10.0.0.1", ["10.0.0.2"])
    assert told.keys() == {
        *("cloneId", "pod", "node", "hostname", "address", "gateway", "nameservers", "time", "seed", "clientCA"),
        "podNetwork",
    }


def test_a_guest_is_told_of_its_pods_network() -> None:
    told = json.loads(guestinfo.encode_clone(make_clone_facts())[guestinfo.IDENTITY])["podNetwork"]
    assert told == {
        "addresses": ["10.1.0.5/24"],
        "gateways": ["10.1.0.1"],
        "isolation": "Pod",
        "denied": ["10.0.0.0/24"],
    }
    alone = guestinfo.encode_clone(make_clone_facts(pod_network=make_pod_network()))
    assert json.loads(alone[guestinfo.IDENTITY])["podNetwork"]["gateways"] == []


def test_a_pod_may_have_an_address_of_each_family_the_primary_first() -> None:
    network = make_pod_network("10.1.0.5", "fd00:10::5", gateways=("10.1.0.1", "fd00:10::1"))
    written = guestinfo.encode_clone(make_clone_facts(pod_network=network))
    told = json.loads(written[guestinfo.IDENTITY])["podNetwork"]
    assert (told["addresses"], told["gateways"]) == (["10.1.0.5/24", "fd00:10::5/64"], ["10.1.0.1", "fd00:10::1"])
    vm = guestinfo.decode_pod_vm("vm-1", "web", PowerState.ON, written)
    assert vm is not None
    assert vm.pod_addresses == ("10.1.0.5", "fd00:10::5")


def test_the_pod_of_a_vm_of_before_has_its_vms_address() -> None:
    written = guestinfo.encode_clone(make_clone_facts()) | {guestinfo.POD_ADDRESS: ""}
    vm = guestinfo.decode_pod_vm("vm-1", "web", PowerState.ON, written)
    assert vm is not None
    assert (vm.address, vm.pod_addresses) == ("10.0.0.5", ("10.0.0.5",))


def test_everything_that_is_believed_of_a_vm_is_watched() -> None:
    written = guestinfo.encode_clone(make_clone_facts())
    assert set(guestinfo.WATCHED) == written.keys() - {guestinfo.IDENTITY, guestinfo.PARENT}


def make_standby_facts() -> CloneFacts:
    return make_clone_facts(identity=make_identity(namespace="", name="", uid=""), hostname="standby")


def test_a_standby_clone_is_ours_without_a_pod() -> None:
    written = guestinfo.encode_clone(make_standby_facts())
    assert json.loads(written[guestinfo.IDENTITY])["pod"] is None
    vm = guestinfo.decode_pod_vm("vm-1", "standby", PowerState.ON, written, change_version="7")
    assert vm is not None
    assert vm.standby
    assert vm.change_version == "7"


def test_binding_makes_a_standby_clone_the_same_as_a_clone_for_the_pod() -> None:
    bound = guestinfo.encode_clone(make_standby_facts()) | guestinfo.encode_bind(make_clone_facts())
    assert bound == guestinfo.encode_clone(make_clone_facts())


def test_binding_writes_nothing_but_whose_it_is() -> None:
    assert guestinfo.encode_bind(make_clone_facts()).keys() == {
        *(guestinfo.POD_NAMESPACE, guestinfo.POD_NAME, guestinfo.POD_UID, guestinfo.STANDBY, guestinfo.IDENTITY)
    }


def test_the_change_version_of_a_vm_with_a_pod_is_no_news() -> None:
    written = guestinfo.encode_clone(make_clone_facts())
    vm = guestinfo.decode_pod_vm("vm-1", "web", PowerState.ON, written, change_version="7")
    assert vm is not None
    assert vm.change_version == ""


def decode_parent(extra_config: dict[str, str]) -> Any:
    return guestinfo.decode_parent(
        "vm-1", "parent", PowerState.ON, extra_config, frozen=True, host="host-1", cpus=2, memory_mib=1024
    )


def test_what_is_written_at_a_parent_is_read_from_it() -> None:
    parent = decode_parent(guestinfo.encode_parent(MARKS, {"parentId": "p0"}))
    assert (parent.marks, parent.frozen, parent.host, parent.report) == (MARKS, True, "host-1", None)


def test_a_parent_is_no_pod_vm_and_its_clone_no_parent() -> None:
    parent = guestinfo.encode_parent(MARKS, {})
    assert guestinfo.decode_pod_vm("vm-1", "parent", PowerState.ON, parent) is None
    clone = parent | guestinfo.encode_clone(make_clone_facts())
    assert guestinfo.decode_pod_vm("vm-2", "web", PowerState.ON, clone) is not None
    assert decode_parent(clone) is None
    assert clone[guestinfo.PARENT] == ""


def test_a_fork_inherits_nothing_of_its_source() -> None:
    pod_vm = guestinfo.encode_clone(make_clone_facts())
    fork = pod_vm | guestinfo.encode_parent(MARKS, {})
    assert {key for key, value in fork.items() if value} == {guestinfo.PARENT_MARKS, guestinfo.PARENT}
    assert fork.keys() == pod_vm.keys()


@pytest.mark.parametrize("marks", ["", "no json", "null", "[]", "{}", '{"key": {}}', "[" * 2000])
def test_marks_that_cannot_be_read_make_no_parent(marks: str) -> None:
    assert decode_parent({guestinfo.PARENT_MARKS: marks}) is None


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_garbage_in_a_report_leaves_the_vm_ours(text: str) -> None:
    written = guestinfo.encode_clone(make_clone_facts()) | {guestinfo.REPORT: text}
    vm = guestinfo.decode_pod_vm("vm-1", "web", PowerState.ON, written)
    assert vm is not None
    assert vm.report is None


def test_a_parent_says_its_address_and_when_it_was_made() -> None:
    written = guestinfo.encode_parent(replace(MARKS, made=1790000000.5), {"parentId": "p0"}, "10.0.0.9")
    parent = decode_parent(written)
    assert (parent.address, parent.marks.made) == ("10.0.0.9", 1790000000.5)


def test_a_parent_of_an_older_version_does_not_say_when_it_was_made() -> None:
    written = guestinfo.encode_parent(MARKS, {})
    marks = json.loads(written[guestinfo.PARENT_MARKS])
    del marks["made"]
    assert decode_parent(written | {guestinfo.PARENT_MARKS: json.dumps(marks)}).marks.made == 0.0


def test_an_address_that_is_leased_is_not_known_from_the_vm() -> None:
    leased = guestinfo.PodNetwork((), (), "Pod", (), dhcp=True)
    written = guestinfo.encode_clone(make_clone_facts(pod_network=leased))
    vm = guestinfo.decode_pod_vm("vm-1", "web", PowerState.ON, written)
    assert vm is not None
    assert (vm.address, vm.pod_addresses) == ("10.0.0.5", ())
    assert json.loads(written[guestinfo.IDENTITY])["podNetwork"]["dhcp"] is True
    assert "dhcp" not in json.loads(guestinfo.encode_clone(make_clone_facts())[guestinfo.IDENTITY])["podNetwork"]
