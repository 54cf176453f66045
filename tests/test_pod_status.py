"""What the provider says of a Pod itself, and what it reads from what others said."""

from datetime import UTC, datetime
from typing import Any

import pytest

from provider import pod_status
from provider.errors import ExceedsVMClass, UnsupportedPod
from provider.lifecycle import PodFacts
from tests.builders import UID, make_container, make_pod

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
INSTANT = "2026-01-01T12:00:00Z"
RUNNING = {
    "name": "main",
    "containerID": "containerd://1",
    "restartCount": 2,
    "ready": True,
    "started": True,
    "state": {"running": {"startedAt": "2026-01-01T11:00:00Z"}},
}
ENDED = {"name": "main", "ready": False, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}


def with_metadata(pod: dict, **fields: Any) -> dict:
    return {**pod, "metadata": pod["metadata"] | fields}


@pytest.mark.parametrize(
    ("pod", "facts"),
    [
        (make_pod(), PodFacts()),
        (make_pod(status={"phase": "Pending", "reason": "ParentNotFrozen"}), PodFacts()),
        (make_pod(status={"phase": "Running", "podIP": "10.0.0.5"}), PodFacts(started=True)),
        (make_pod(status={"phase": "Pending", "containerStatuses": [RUNNING]}), PodFacts(started=True)),
        (make_pod(status={"initContainerStatuses": [{"name": "i", "restartCount": 1}]}), PodFacts(started=True)),
        (make_pod(status={"phase": "Succeeded"}), PodFacts(terminal=True)),
        (make_pod(status={"phase": "Failed", "reason": "Evicted"}), PodFacts(terminal=True)),
        (make_pod(status={"phase": "Failed", "reason": "ExceedsVMClass"}), PodFacts(terminal=True, refused=True)),
        (make_pod(status={"phase": "Failed", "reason": "UnsupportedPodSpec"}), PodFacts(terminal=True, refused=True)),
        (
            with_metadata(make_pod(), deletionTimestamp=INSTANT, deletionGracePeriodSeconds=30),
            PodFacts(deleted=True, grace=30),
        ),
        (with_metadata(make_pod(), finalizers=["a/b"]), PodFacts(held=True)),
        ({**make_pod(), "status": None}, PodFacts()),
    ],
)
def test_what_counts_of_a_pod_is_read(pod: dict, facts: PodFacts) -> None:
    assert pod_status.pod_facts(pod) == facts


def test_what_the_provider_says_of_a_waiting_pod_does_not_look_as_if_it_had_run() -> None:
    said = pod_status.waiting(make_pod(initContainers=[make_container("init")]), NOW)["status"]
    assert pod_status.pod_facts(make_pod(status=said)) == PodFacts()
    assert pod_status.is_announced(make_pod(status=said))
    assert not pod_status.is_announced(make_pod(status={"phase": "Pending"}))


@pytest.mark.parametrize(
    ("old", "new", "is_newer"),
    [("7", "8", True), ("7", "7", False), ("10", "9", False), ("9", "10", True), ("x", "1", True)],
)
def test_of_two_states_the_one_with_the_higher_version_counts(old: str, new: str, is_newer: bool) -> None:
    older, newer = (with_metadata(make_pod(), resourceVersion=version) for version in (old, new))
    assert pod_status.newer(older, newer) is is_newer


def test_any_state_is_newer_than_none_and_than_another_pods() -> None:
    assert pod_status.newer(None, make_pod())
    assert pod_status.newer(with_metadata(make_pod(), resourceVersion="99"), make_pod(uid="another"))


def test_of_two_pods_of_one_name_the_one_with_the_higher_version_is_the_later() -> None:
    old, new = with_metadata(make_pod(), resourceVersion="9"), make_pod(uid="another")
    assert pod_status.later(old, with_metadata(new, resourceVersion="10"))
    assert not pod_status.later(with_metadata(new, resourceVersion="10"), old)


def test_a_waiting_pod_is_what_a_kubelet_calls_container_creating() -> None:
    status = pod_status.waiting(make_pod(), NOW)["status"]
    assert (status["phase"], status["startTime"]) == ("Pending", INSTANT)
    (container,) = status["containerStatuses"]
    assert container["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert (container["ready"], container["restartCount"]) == (False, 0)
    assert "initContainerStatuses" not in status


def test_a_waiting_pod_with_init_containers_is_initializing() -> None:
    pod = make_pod(initContainers=[make_container("init")])
    status = pod_status.waiting(pod, NOW)["status"]
    for key in ("containerStatuses", "initContainerStatuses"):
        assert [each["state"]["waiting"]["reason"] for each in status[key]] == ["PodInitializing"]


def test_a_reason_is_said_and_taken_back() -> None:
    said = pod_status.waiting(make_pod(), NOW, "ParentNotFrozen", "not yet")["status"]
    assert (said["reason"], said["message"]) == ("ParentNotFrozen", "not yet")
    taken_back = pod_status.waiting(make_pod(status=said), NOW)["status"]
    assert (taken_back["reason"], taken_back["message"]) == (None, None), "null removes a field in a merge patch"


def test_a_start_time_that_is_known_stays() -> None:
    pod = make_pod(status={"startTime": "2025-01-01T00:00:00Z"})
    assert pod_status.waiting(pod, NOW)["status"]["startTime"] == "2025-01-01T00:00:00Z"


@pytest.mark.parametrize("error", [UnsupportedPod("spec.hostPID", "no"), ExceedsVMClass("spec", "too large")])
def test_a_refused_pod_fails_with_the_errors_reason_and_its_field(error: UnsupportedPod) -> None:
    status = pod_status.refused(make_pod(), error, NOW)["status"]
    assert (status["phase"], status["reason"]) == ("Failed", error.reason)
    assert error.field in status["message"]
    assert pod_status.pod_facts(make_pod(status=status)).refused


def test_a_lost_vm_is_a_disruption_of_the_pod() -> None:
    status = pod_status.lost(make_pod(status={"containerStatuses": [RUNNING]}), "it is off", NOW)["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "VirtualMachineLost")
    assert "it is off" in status["message"]
    conditions = {each["type"]: each["status"] for each in status["conditions"]}
    assert conditions == {"DisruptionTarget": "True", "Ready": "False", "ContainersReady": "False"}


def test_a_container_of_a_lost_vm_ended_nobody_knows_how() -> None:
    pod = make_pod(status={"containerStatuses": [RUNNING]})
    (container,) = pod_status.lost(pod, "gone", NOW)["status"]["containerStatuses"]
    ended = container["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
    assert (ended["startedAt"], ended["finishedAt"]) == ("2026-01-01T11:00:00Z", INSTANT)
    assert ended["containerID"] == "containerd://1"
    assert (container["ready"], container["started"], container["restartCount"]) == (False, False, 2)


def test_a_container_that_had_ended_keeps_its_exit_code() -> None:
    pod = make_pod(
        status={"containerStatuses": [RUNNING, {**ENDED, "name": "other"}]},
        containers=[make_container(), make_container("other")],
        initContainers=[make_container("init")],
    )
    pod["status"]["initContainerStatuses"] = [{**ENDED, "name": "init"}]
    for patch in (pod_status.lost(pod, "gone", NOW), pod_status.finished(pod, "gone", NOW)):
        status = patch["status"]
        assert [each["state"]["terminated"]["exitCode"] for each in status["containerStatuses"]] == [137, 0]
        assert status["initContainerStatuses"] == [{**ENDED, "name": "init"}]


def test_a_pod_that_was_deleted_without_a_guest_has_ended_containers() -> None:
    status = pod_status.finished(make_pod(), "the Pod was deleted before it had a VM", NOW)["status"]
    assert (status["phase"], status["message"]) == ("Failed", "the Pod was deleted before it had a VM")
    assert "reason" not in status
    assert all("terminated" in each["state"] for each in status["containerStatuses"])


@pytest.mark.parametrize(
    "patch",
    [
        pod_status.waiting(with_metadata(make_pod(), generation=3), NOW),
        pod_status.refused(with_metadata(make_pod(), generation=3), UnsupportedPod("spec", "no"), NOW),
        pod_status.lost(with_metadata(make_pod(), generation=3), "gone", NOW),
        pod_status.finished(with_metadata(make_pod(), generation=3), "gone", NOW),
    ],
)
def test_every_patch_is_for_one_uid_and_one_generation(patch: dict) -> None:
    assert patch["metadata"] == {"uid": UID}
    assert patch["status"]["observedGeneration"] == 3
    assert set(patch) == {"metadata", "status"}
