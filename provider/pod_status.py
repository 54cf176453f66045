"""A Pod's status: what of it decides the next step, and the few patches that the provider writes itself. Pure.

While a guest serves the Pod its kubelet reports, and the provider relays (`relay`). The provider speaks for itself only
before there is a guest (waiting, refused) and after there is one no more (lost, deleted unfed).
"""

from datetime import datetime
from typing import Any

from provider.errors import ExceedsVMClass, ProviderError, UnsupportedPod
from provider.lifecycle import PodFacts
from provider.node import timestamp

KubeObject = dict[str, Any]

LOST = "VirtualMachineLost"
TERMINAL = ("Succeeded", "Failed")
REFUSALS = (UnsupportedPod.reason, ExceedsVMClass.reason, "OutOfcpu", "OutOfmemory", "OutOfpods")
CREATING = "ContainerCreating"
INITIALIZING = "PodInitializing"

_KILLED = 137
_UNKNOWN = "ContainerStatusUnknown"
"""The reason and the exit code of a kubelet that cannot tell any more how a container ended
(pkg/kubelet/kubelet_pods.go, convertToAPIContainerStatuses)."""

_LISTS = (("containers", "containerStatuses"), ("initContainers", "initContainerStatuses"))


def pod_facts(pod: KubeObject) -> PodFacts:
    """What the life cycle needs to know of a Pod."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    return PodFacts(
        deleted=bool(metadata.get("deletionTimestamp")),
        grace=float(metadata.get("deletionGracePeriodSeconds") or 0),
        terminal=status.get("phase") in TERMINAL,
        lost=status.get("phase") == "Failed" and status.get("reason") == LOST,
        started=_has_run(status),
        held=bool(metadata.get("finalizers")),
        refused=status.get("phase") == "Failed" and status.get("reason") in REFUSALS,
    )


def has_begun(pod: KubeObject) -> bool:
    """Its containers run, or have run: a short one may have ended before anybody saw it run."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Running", "Succeeded") or (phase == "Failed" and _ran(pod["status"]))


def is_announced(pod: KubeObject) -> bool:
    """Somebody has said already that its containers are waiting, or more."""
    return bool((pod.get("status") or {}).get("containerStatuses"))


def newer(old: KubeObject | None, new: KubeObject) -> bool:
    """Is `new` a later state of the object?"""
    return old is None or old["metadata"]["uid"] != new["metadata"]["uid"] or later(old, new)


def later(old: KubeObject, new: KubeObject) -> bool:
    """Is `new` from a later time, whichever Pod it is? Resource versions are comparable numbers (KEP-5504)."""
    try:
        return int(new["metadata"]["resourceVersion"]) > int(old["metadata"]["resourceVersion"])
    except (KeyError, ValueError):
        return True


def waiting(pod: KubeObject, now: datetime, reason: str = "", message: str = "") -> KubeObject:
    """Pending, as a kubelet says it when it has accepted a Pod; with a reason once a step has failed."""
    creating = INITIALIZING if pod["spec"].get("initContainers") else CREATING
    status: KubeObject = {
        "phase": "Pending",
        "reason": reason or None,
        "message": message or None,
        "startTime": (pod.get("status") or {}).get("startTime") or timestamp(now),
        "containerStatuses": [_waiting(each, creating) for each in pod["spec"]["containers"]],
    }
    if pod["spec"].get("initContainers"):
        status["initContainerStatuses"] = [_waiting(each, INITIALIZING) for each in pod["spec"]["initContainers"]]
    return _patch(pod, status)


def refused(pod: KubeObject, error: ProviderError, now: datetime) -> KubeObject:
    """Failed, as a kubelet's admission does it."""
    return _patch(
        pod,
        {
            "phase": "Failed",
            "reason": error.reason,
            "message": f"Pod was rejected: {error}",
            "startTime": timestamp(now),
        },
    )


def lost(pod: KubeObject, why: str, now: datetime) -> KubeObject:
    """Failed because the VM is lost: no fault of the Pod's (DisruptionTarget), and nobody knows how it ended."""
    message = f"The Pod's VM is lost: {why}"
    since = timestamp(now)
    conditions = [
        {"type": "DisruptionTarget", "status": "True", "reason": LOST, "message": message, "lastTransitionTime": since},
        *(
            {"type": kind, "status": "False", "reason": "PodFailed", "lastTransitionTime": since}
            for kind in ("Ready", "ContainersReady")
        ),
    ]
    status = {"phase": "Failed", "reason": LOST, "message": message, "conditions": conditions}
    return _patch(pod, status | _ended(pod, "The container's VM is lost", since))


def finished(pod: KubeObject, why: str, now: datetime) -> KubeObject:
    """Failed because the Pod was deleted and no guest is there to say how it ended."""
    status = {"phase": "Failed", "message": why}
    return _patch(
        pod, status | _ended(pod, "The container could not be located when the Pod was deleted", timestamp(now))
    )


def _has_run(status: KubeObject) -> bool:
    """Only a guest's kubelet reports addresses or container IDs."""
    if status.get("podIP"):
        return True
    return any(
        each.get("containerID") or each.get("restartCount") or "running" in (each.get("state") or {})
        for _, key in _LISTS
        for each in status.get(key) or ()
    )


def _ran(status: KubeObject) -> bool:
    """A container ended by itself, told by a guest's kubelet."""
    ended = [(each.get("state") or {}).get("terminated") or {} for each in status.get("containerStatuses") or ()]
    return any(each.get("containerID") for each in ended)


def _patch(pod: KubeObject, status: KubeObject) -> KubeObject:
    generation = pod["metadata"].get("generation")
    if generation is not None:
        status["observedGeneration"] = generation
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}


def _waiting(container: KubeObject, reason: str) -> KubeObject:
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": reason}},
    }


def _ended(pod: KubeObject, message: str, now: str) -> KubeObject:
    """The statuses with every container that had not ended ended; what is known of the others stays as it is."""
    changed = {}
    for sort, key in _LISTS:
        known = {each["name"]: each for each in (pod.get("status") or {}).get(key) or ()}
        if not pod["spec"].get(sort):
            continue
        changed[key] = [
            _end(known.get(each["name"]) or _waiting(each, CREATING), message, now) for each in pod["spec"][sort]
        ]
    return changed


def _end(status: KubeObject, message: str, now: str) -> KubeObject:
    state = status.get("state") or {}
    if "terminated" in state:
        return status
    terminated: KubeObject = {"exitCode": _KILLED, "reason": _UNKNOWN, "message": message, "finishedAt": now}
    if status.get("containerID"):
        terminated["containerID"] = status["containerID"]
    if started := (state.get("running") or {}).get("startedAt"):
        terminated["startedAt"] = started
    return {**status, "ready": False, "started": False, "state": {"terminated": terminated}}
