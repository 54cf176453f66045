"""What a VM carries, both ways; what a guest writes is believed only if it is its own and well made."""

import json
from typing import Any

import pytest

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
