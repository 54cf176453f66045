"""A ParentVM object says how far its VM is, and why it cannot be cloned."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from provider.api.parent import ParentVMSpec, ParentVMStatus
from provider.parent_slots import Slot
from provider.parent_status import conditions, merged, object_name, parent_object, same
from provider.parentvm import Host, ParentPhase, ParentReport, ParentVM
from tests.builders import make_host, make_key, make_parent_vm, make_slot

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
VCH = {"apiVersion": "vch.dev/v1alpha1", "kind": "VirtualContainerHost", "metadata": {"name": "prod", "uid": "u-1"}}


def shown(vm: ParentVM, slot: Slot | None = None, host: Host | None = None) -> dict[str, tuple[str, str, str]]:
    """Status, reason and message by type."""
    found = conditions(vm, slot or make_slot(), host or make_host(), NOW)
    return {each["type"]: (each["status"], each["reason"], each["message"]) for each in found}


def test_a_frozen_parent_that_is_wanted_is_ready() -> None:
    assert {kind: found[0] for kind, found in shown(make_parent_vm()).items()} == {
        "Provisioned": "True",
        "Prepared": "True",
        "Frozen": "True",
        "Ready": "True",
    }


@pytest.mark.parametrize(
    ("report", "reason", "message"),
    [
        (None, "Booting", "its agent has not reported yet"),
        (ParentReport("x", ParentPhase.PREPARING, "pulling app:1"), "Preparing", "pulling app:1"),
        (ParentReport("x", ParentPhase.FAILED, "no such image"), "Failed", "no such image"),
    ],
)
def test_what_its_agent_does_is_said(report: ParentReport | None, reason: str, message: str) -> None:
    found = shown(make_parent_vm(frozen=False, report=report))
    assert found["Prepared"] == ("False", reason, message)
    assert found["Ready"] == ("False", "NotPrepared", f"Prepared: {message}")


@pytest.mark.parametrize(
    ("vm", "host", "reason"),
    [
        (make_parent_vm(digest="d0"), make_host(), "Outdated"),
        (make_parent_vm(host="host-2"), make_host(), "Moved"),
        (make_parent_vm(), make_host(connected=False), "HostNotUsable"),
        (make_parent_vm(), make_host(maintenance=True), "HostNotUsable"),
        (make_parent_vm(frozen=False), make_host(), "NotPrepared"),
    ],
)
def test_why_it_cannot_be_cloned_is_said(vm: ParentVM, host: Host, reason: str) -> None:
    assert shown(vm, host=host)["Ready"][:2] == ("False", reason)


def test_one_that_is_not_wanted_says_so() -> None:
    (ready,) = [each for each in conditions(make_parent_vm(), None, make_host(), NOW) if each["type"] == "Ready"]
    assert ready["reason"] == "NotWanted"


def make_object(vm: ParentVM, now: datetime = NOW, **hosts: Host) -> dict[str, Any]:
    return parent_object(VCH, vm, make_slot(vm.marks.key), {"host-1": make_host(name="esx-1"), **hosts}, 3, now)


def test_the_object_is_what_its_schema_says_and_goes_with_its_vch() -> None:
    made = make_object(make_parent_vm(key=make_key(namespace="team-a")))
    spec, status = ParentVMSpec.model_validate(made["spec"]), ParentVMStatus.model_validate(made["status"])
    assert (spec.vch, spec.host, spec.image, spec.vm_class, spec.namespace) == (
        "prod",
        "host-1",
        "photon",
        "small",
        "team-a",
    )
    assert (status.host_name, status.clones, status.frozen) == ("esx-1", 3, True)
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert made["metadata"]["name"] == object_name("prod", make_parent_vm())


def test_a_transition_is_dated_only_when_the_status_changes() -> None:
    first = make_object(make_parent_vm())
    again = merged(first, make_object(make_parent_vm(), LATER))
    assert same(first, again)
    thawed = merged(first, make_object(make_parent_vm(frozen=False), LATER))
    dates = {each["type"]: each["lastTransitionTime"] for each in thawed["status"]["conditions"]}
    assert dates["Provisioned"] == "2026-01-01T00:00:00Z"
    assert dates["Frozen"] == "2026-01-01T00:05:00Z"
    assert not same(first, thawed)
    assert not same(None, first)
