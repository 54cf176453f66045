"""A VCH's conditions: they come true one after the other, and name what is missing."""

from datetime import UTC, datetime, timedelta

import pytest

from provider import errors
from provider.api.conditions import ConditionStatus, ConditionType
from provider.podvm import Parent, PowerState
from provider.vch_status import STAGES, VCHStatus, blame

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def make_ready() -> VCHStatus:
    status = VCHStatus()
    for kind in (*STAGES, ConditionType.KUBELET_SERVING, ConditionType.NODE_REGISTERED):
        status = status.reached(kind, "Fine", "fine", NOW)
    return status.with_ready(NOW)


def test_ready_is_all_the_others_together() -> None:
    assert make_ready().get(ConditionType.READY).status is ConditionStatus.TRUE
    broken = make_ready().failed(ConditionType.KUBELET_SERVING, errors.AddressNotServed("no"), LATER).with_ready(LATER)
    ready = broken.get(ConditionType.READY)
    assert (ready.status, ready.reason) == (ConditionStatus.FALSE, "AddressNotServed")
    assert broken.health().can_clone, "a kubelet API that is not served does not keep Pods from starting"


def test_what_comes_after_a_failure_is_not_known() -> None:
    status = make_ready().failed(ConditionType.VCENTER_AVAILABLE, errors.VCenterUnreachable("gone"), LATER)
    assert status.get(ConditionType.CREDENTIALS_VALID).status is ConditionStatus.TRUE
    assert status.get(ConditionType.PARENTS_READY).status is ConditionStatus.UNKNOWN
    health = status.health()
    assert not health.can_clone
    assert health.reason == "VCenterUnreachable"


def test_a_transition_is_dated_only_when_the_status_changes() -> None:
    status = make_ready().reached(ConditionType.VCENTER_AVAILABLE, "Again", "again", LATER)
    assert status.get(ConditionType.VCENTER_AVAILABLE).since == NOW
    assert status.get(ConditionType.VCENTER_AVAILABLE).reason == "Again"


def test_a_restart_is_no_transition() -> None:
    stored = make_ready().object(generation=3, node="vch")
    assert stored["observedGeneration"] == 3
    again = VCHStatus.of_object(stored)
    assert again.reached(ConditionType.READY, "VCHReady", "x", LATER).get(ConditionType.READY).since == NOW


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.SecretNotFound("x"), ConditionType.CREDENTIALS_VALID),
        (errors.InvalidLogin("x"), ConditionType.CREDENTIALS_VALID),
        (errors.CertificateMismatch("x"), ConditionType.VCENTER_AVAILABLE),
        (errors.VCenterUnreachable("x"), ConditionType.VCENTER_AVAILABLE),
        (errors.InvalidSpec("spec.network.ranges", "x"), ConditionType.PLACEMENT_RESOLVED),
        (errors.FolderNotFound("x"), ConditionType.PLACEMENT_RESOLVED),
    ],
)
def test_an_error_is_blamed_on_the_condition_that_it_concerns(error: errors.ProviderError, kind: ConditionType) -> None:
    assert blame(error) is kind
    condition = VCHStatus().blamed(error, NOW).get(kind)
    assert (condition.status, condition.reason) == (ConditionStatus.FALSE, error.reason)


def test_a_parent_is_ready_when_it_is_frozen_and_on() -> None:
    frozen = Parent("vm-1", "parent", PowerState.ON, frozen=True, cpus=2, memory_mib=1024)
    thawed = Parent("vm-1", "parent", PowerState.OFF, frozen=False, cpus=2, memory_mib=1024)
    kind = ConditionType.PARENTS_READY
    assert VCHStatus().parent_seen(frozen, NOW).get(kind).status is ConditionStatus.TRUE
    assert VCHStatus().parent_seen(thawed, NOW).get(kind).reason == "ParentNotFrozen"
    assert VCHStatus().parent_seen(None, NOW).get(kind).reason == "ParentNotFound"


def test_since_when_there_may_be_vms_outlives_a_restart() -> None:
    frozen = Parent("vm-1", "parent", PowerState.ON, frozen=True, cpus=2, memory_mib=1024)
    status = make_ready().parent_seen(frozen, NOW).parent_seen(None, LATER).parent_seen(frozen, LATER)
    assert status.first_ready == NOW
    assert VCHStatus.of_object(status.object(generation=1, node="vch")).first_ready == NOW
    assert VCHStatus.of_object({}).first_ready is None
