"""A VCH's conditions: they come true one after the other, and name what is missing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from provider import errors, reachability
from provider.api.conditions import ConditionStatus, ConditionType
from provider.capacity import Resources
from provider.parentvm import Placement
from provider.pod_isolation import Finding
from provider.vch_status import STAGES, Counts, ParentCounts, VCHStatus, blame

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


def test_the_pods_network_has_a_condition_after_the_others_that_ready_does_not_depend_on() -> None:
    single = Finding(False, "SingleNetwork", "one network")
    status = make_ready().pod_network(single, NOW).with_ready(NOW)
    assert status.get(ConditionType.READY).status is ConditionStatus.TRUE
    shown = status.object(generation=3, node="vch")["conditions"]
    assert [each["type"] for each in shown][-3:] == [
        "Ready",
        "PodNetworkIsolated",
        "ClusterNetworkReachable",
    ]
    assert (shown[-2]["status"], shown[-2]["reason"]) == ("False", "SingleNetwork")
    isolated = VCHStatus.of_object(status.object(3, "vch")).pod_network(Finding(True, "Isolated", "x"), LATER)
    assert isolated.get(ConditionType.POD_NETWORK_ISOLATED).since == LATER


def test_a_cluster_that_pods_do_not_reach_keeps_none_from_starting() -> None:
    unreachable = reachability.Finding(False, "EndpointsUnreachable", "x")
    status = make_ready().cluster_network(unreachable, NOW).with_ready(NOW)
    assert status.get(ConditionType.READY).status is ConditionStatus.TRUE
    assert status.get(ConditionType.CLUSTER_NETWORK_REACHABLE).status is ConditionStatus.FALSE
    nobody = status.cluster_network(reachability.Finding(None, "NoPodYet", "x"), LATER)
    assert nobody.get(ConditionType.CLUSTER_NETWORK_REACHABLE).status is ConditionStatus.UNKNOWN


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


def counted(status: VCHStatus, **parents: Any) -> VCHStatus:
    return status.counted(Counts(), ParentCounts(**parents), None, LATER)


def test_parents_are_ready_when_each_kind_of_pod_has_one() -> None:
    kind = ConditionType.PARENTS_READY
    ready = counted(make_ready(), desired=3, ready=2).get(kind)
    assert (ready.status, ready.message) == (ConditionStatus.TRUE, "2 of 3 parents can be cloned")
    lacking = counted(make_ready(), desired=3, ready=2, missing=("no parent of class large: it is being made",))
    assert lacking.get(kind).reason == "ParentsProvisioning"
    assert "class large" in lacking.get(kind).message
    assert lacking.health().can_clone, "Pods of the other classes can be started"
    assert not counted(make_ready(), desired=3).health().can_clone


def test_a_parent_that_failed_gives_the_reason() -> None:
    failed = counted(make_ready(), desired=1, missing=("it failed",), failure=errors.ParentFailed("no image"))
    assert failed.get(ConditionType.PARENTS_READY).reason == "ParentFailed"


def test_without_prewarming_pods_can_be_started_before_there_is_a_parent() -> None:
    status = counted(make_ready(), on_demand=True)
    assert status.get(ConditionType.PARENTS_READY).reason == "MadeOnDemand"
    assert status.health().can_clone


def test_a_class_that_is_not_there_is_named() -> None:
    message = (
        counted(make_ready(), classes_missing=("huge",), classes_there=("small",))
        .get(ConditionType.PARENTS_READY)
        .message
    )
    assert message == "spec.template.classes: there is no PodVMClass huge; there are: small"


def test_an_image_that_is_not_there_keeps_parents_that_are() -> None:
    status = make_ready().counted(Counts(), ParentCounts(1, 1), errors.TemplateNotFound("there are: a, b"), LATER)
    assert status.get(ConditionType.IMAGE_READY).reason == "TemplateNotFound"
    assert status.get(ConditionType.PARENTS_READY).status is ConditionStatus.TRUE
    assert status.health().can_clone


def test_since_when_there_may_be_vms_outlives_a_restart() -> None:
    placed = Placement("dc", "cluster", "pool", "folder", ("host-2", "host-1"))
    status = make_ready().resolved(placed, NOW).resolved(placed, LATER)
    stored = status.object(generation=1, node="vch")
    assert stored["resolved"]["hosts"] == ["host-1", "host-2"]
    assert VCHStatus.of_object(stored).first_ready == NOW
    assert VCHStatus.of_object({}).first_ready is None


def test_what_is_offered_outlives_a_restart() -> None:
    counts = Counts(capacity=Resources(4000, 2**30, 5), allocatable=Resources(3500, 2**29, 5))
    stored = make_ready().counted(counts, ParentCounts(1, 1), None, NOW).object(generation=1, node="vch")
    assert stored["allocatable"] == {"cpu": "3500m", "memory": "524288Ki", "pods": 5}
    again = VCHStatus.of_object(stored)
    assert again.offered().capacity == counts.capacity
    assert again.health().can_clone


def test_that_it_is_being_deleted_is_said_with_the_remedy() -> None:
    refused = make_ready().ending(True, 3).with_ready(LATER).get(ConditionType.READY)
    assert (refused.status, refused.reason) == (ConditionStatus.FALSE, "DeletionRefused")
    assert "there are 3 Pods" in refused.message
    assert make_ready().ending(False, 3).with_ready(LATER).get(ConditionType.READY).reason == "Draining"
