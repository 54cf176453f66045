"""What a VM carries, both ways; what a guest writes is believed only if it is its own and well made."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider import guestinfo
from provider.guestinfo import CloneFacts, GuestNetwork
from provider.podvm import GuestPhase, PowerState
from tests.builders import make_identity


def make_clone_facts(**fields: Any) -> CloneFacts:
    given: dict[str, Any] = {
        "identity": make_identity(),
        "clone_id": "c0",
        "hostname": "web",
        "network": GuestNetwork("10.0.0.5", 24, "10.0.0.1", ("10.0.0.2",)),
        "client_ca_pem": "PEM",
        "seed": b"s" * 64,
        "now": 1.5,
    }
    return CloneFacts(**{**given, **fields})


def report(**fields: Any) -> str:
    given = {"cloneId": "c0", "phase": "Ready", "fingerprint": "sha256:ab", "address": "10.0.0.5", "port": 10350}
    return json.dumps({**given, **fields})


def test_what_is_written_at_the_clone_is_read_from_the_vm() -> None:
    written = guestinfo.encode_clone(make_clone_facts())
    vm = guestinfo.decode_pod_vm("vm-1", "web", PowerState.ON, written)
    assert vm is not None
    assert vm.identity == make_identity()
    assert (vm.address, vm.clone_id, vm.pin, vm.report) == ("10.0.0.5", "c0", None, None)


def test_what_decides_whose_vm_it_is_is_out_of_the_guests_reach() -> None:
    written = guestinfo.encode_clone(make_clone_facts())
    marks = [key for key in written if not key.startswith("guestinfo.")]
    assert {guestinfo.POD_UID, guestinfo.CLUSTER, guestinfo.VCH, guestinfo.ADDRESS} <= set(marks)


@pytest.mark.parametrize("missing", [guestinfo.CLUSTER, guestinfo.VCH, guestinfo.POD_UID, guestinfo.NODE])
def test_a_vm_without_all_marks_is_not_ours(missing: str) -> None:
    written = {**guestinfo.encode_clone(make_clone_facts()), missing: ""}
    assert guestinfo.decode_pod_vm("vm-1", "web", PowerState.ON, written) is None


def test_a_report_is_read() -> None:
    found = guestinfo.decode_report(report(), "c0")
    assert found is not None
    assert (found.phase, found.fingerprint) == (GuestPhase.READY, "sha256:ab")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "[]",
        "null",
        report(cloneId="its parent's"),
        report(phase="Frozen"),
        report(port="ssh"),
        report(message="x" * 5000),
        json.dumps({"cloneId": "c0"}),
    ],
)
def test_a_report_that_is_malformed_or_inherited_is_none(text: str) -> None:
    assert guestinfo.decode_report(text, "c0") is None


def test_a_clone_is_born_without_the_pin_and_the_report_of_its_source() -> None:
    written = guestinfo.encode_clone(make_clone_facts())
    assert (written[guestinfo.PIN], written[guestinfo.REPORT]) == ("", "")


def test_what_a_guest_is_told_is_what_its_agent_reads() -> None:
    told = json.loads(guestinfo.encode_clone(make_clone_facts())[guestinfo.IDENTITY])
    assert told["pod"] == {"namespace": "default", "name": "web", "uid": make_identity().uid}
    assert (told["address"], told["gateway"], told["nameservers"]) == ("10.0.0.5/24", "10.0.0.1", ["10.0.0.2"])
    assert told.keys() == {
        *("cloneId", "pod", "node", "hostname", "address", "gateway", "nameservers", "time", "seed", "clientCA")
    }


def test_everything_that_is_believed_of_a_vm_is_watched() -> None:
    written = guestinfo.encode_clone(make_clone_facts())
    assert set(guestinfo.WATCHED) == written.keys() - {guestinfo.IDENTITY}


def test_a_long_message_is_cut_and_the_report_still_counts() -> None:
    found = guestinfo.decode_report(report(message="x" * 1000), "c0")
    assert found is not None
    assert len(found.message) == 512


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_garbage_is_no_report_and_never_a_defect(text: str) -> None:
    assert guestinfo.decode_report(text, "c0") is None
    vm = guestinfo.decode_pod_vm(
        "vm-1", "web", PowerState.ON, guestinfo.encode_clone(make_clone_facts()) | {guestinfo.REPORT: text}
    )
    assert vm is not None
    assert vm.report is None


@pytest.mark.parametrize("text", ["[" * 2000, '{"port": 1e999}', report(port=float("inf")), report(port=None)])
def test_json_that_is_hard_to_read_is_no_report(text: str) -> None:
    assert guestinfo.decode_report(text, "c0") is None
