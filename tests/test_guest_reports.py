"""What a guest writes is believed only if it is its own and well made."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider import guest_reports
from provider.parentvm import GuestFacts, ParentPhase, PreloadedImage
from provider.podvm import GuestPhase


def report(**fields: Any) -> str:
    given = {"cloneId": "c0", "phase": "Ready", "fingerprint": "sha256:ab", "address": "10.0.0.5", "port": 10350}
    return json.dumps({**given, **fields})


def test_a_report_is_read() -> None:
    found = guest_reports.decode_report(report(), "c0")
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
    assert guest_reports.decode_report(text, "c0") is None


def test_a_long_message_is_cut_and_the_report_still_counts() -> None:
    found = guest_reports.decode_report(report(message="x" * 1000), "c0")
    assert found is not None
    assert len(found.message) == 512


@pytest.mark.parametrize("text", ["[" * 2000, '{"port": 1e999}', report(port=float("inf")), report(port=None)])
def test_json_that_is_hard_to_read_is_no_report(text: str) -> None:
    assert guest_reports.decode_report(text, "c0") is None


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_garbage_is_no_report_and_never_a_defect(text: str) -> None:
    assert guest_reports.decode_report(text, "c0") is None
    assert guest_reports.decode_parent_report(text, "p0") is None


def parent_report(**fields: Any) -> str:
    return json.dumps({"parentId": "p0", "phase": "Warm", "message": "", **fields})


def test_a_parents_report_tells_what_is_in_it() -> None:
    guest = {
        "osImage": "Photon",
        "kernelVersion": "6.1",
        "kubeletVersion": "v1.37.2",
        "containerRuntimeVersion": "containerd://2.1",
        "agentVersion": "1",
        "images": [{"names": ["docker.io/library/busybox:1"], "sizeBytes": 123}],
        "sharesMemory": False,
    }
    found = guest_reports.decode_parent_report(parent_report(guest=guest), "p0")
    assert found is not None
    assert found.phase is ParentPhase.WARM
    image = PreloadedImage(("docker.io/library/busybox:1",), 123)
    assert found.guest == GuestFacts("Photon", "6.1", "v1.37.2", "containerd://2.1", "1", (image,), False)


@pytest.mark.parametrize("guest", [None, {}])
def test_a_parent_that_is_not_warm_yet_tells_nothing_of_its_guest(guest: Any) -> None:
    found = guest_reports.decode_parent_report(parent_report(phase="Preparing", guest=guest), "p0")
    assert found is not None
    assert found.guest == GuestFacts()


@pytest.mark.parametrize(
    "text",
    [
        parent_report(parentId="its base's"),
        parent_report(phase="Ready"),
        parent_report(guest="none"),
        parent_report(guest={"images": [{}]}),
        parent_report(guest={"images": 7}),
        parent_report(message="x" * 70000),
        "[" * 2000,
    ],
)
def test_a_parents_report_that_is_malformed_or_inherited_is_none(text: str) -> None:
    assert guest_reports.decode_parent_report(text, "p0") is None
