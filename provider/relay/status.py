"""The kubelet's status patch: which fields of it are a kubelet's to write. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from provider.feed import KubeObject
from provider.relay.request import STRATEGIC_MERGE, RelayRefused, an_object

TERMINAL = ("Succeeded", "Failed")
_STATUS_FIELDS = frozenset(
    {
        "allocatedResources", "conditions", "containerStatuses", "ephemeralContainerStatuses", "initContainerStatuses",
        "message", "observedGeneration", "phase", "qosClass", "reason", "resize", "resources", "startTime",
    }
)  # fmt: skip
_ORDERS = ("$setElementOrder/conditions", "$setElementOrder/podIPs", "$setElementOrder/hostIPs")
_STATUS_LISTS = {
    "containerStatuses": "containers",
    "initContainerStatuses": "initContainers",
    "ephemeralContainerStatuses": "ephemeralContainers",
}
_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")

KUBELET_CONDITIONS = frozenset(
    {
        "AllContainersRestarting", "ContainersReady", "DisruptionTarget", "Initialized", "PodReadyToStartContainers",
        "PodResizeInProgress", "PodResizePending", "Ready",
    }
)  # fmt: skip
"""The conditions a kubelet owns (k8s.io/kubernetes pkg/kubelet/types/pod_status.go); all others are somebody else's."""


def check_status_patch(
    patch: KubeObject, content_type: str, pod: KubeObject, *, pod_ips: Sequence[str], host_ip: str
) -> KubeObject:
    """The kubelet's status patch, built anew; the UID is added so that it cannot hit a later Pod of the same name.

    Addresses are imposed, whatever the guest says. Raises RelayRefused.
    """
    if content_type.partition(";")[0] != STRATEGIC_MERGE:  # any other replaces lists: others' conditions would go
        raise RelayRefused(f"a status patch of type {content_type!r}")
    uid = an_object(patch.get("metadata"), "metadata").get("uid")
    if uid is not None and uid != pod["metadata"]["uid"]:
        raise RelayRefused(f"a status of another Pod (UID {uid!r})")
    said = patch.get("status")
    if not isinstance(said, dict):
        raise RelayRefused("a status patch without a status")
    status = {key: value for key, value in said.items() if key in _STATUS_FIELDS}
    _check_phase(status, pod)
    for key, sort in _STATUS_LISTS.items():
        if key in status:
            _check_names(key, status[key], pod["spec"].get(sort) or ())
    if "conditions" in status:
        status["conditions"] = _own_conditions(status["conditions"])
    if _ORDERS[0] in said and "conditions" in status:
        status[_ORDERS[0]] = said[_ORDERS[0]]
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status | addresses(pod_ips, host_ip)}


def addresses(pod_ips: Sequence[str], host_ip: str) -> KubeObject:
    """The address fields of a Pod's status; of its own addresses, the first is the primary."""
    own = {"podIP": pod_ips[0], "podIPs": [{"ip": ip} for ip in pod_ips]} if pod_ips else {}
    return {**own, "hostIP": host_ip, "hostIPs": [{"ip": host_ip}]}


def _check_phase(status: Mapping[str, Any], pod: KubeObject) -> None:
    if "phase" not in status:
        return
    new = status["phase"]
    if not isinstance(new, str) or new not in _PHASES:
        raise RelayRefused(f"the phase {new!r}")
    old = (pod.get("status") or {}).get("phase")
    if old in TERMINAL and new != old:
        # "Once a pod is failed, it stays that way forever" (kubernetes#104648).
        raise RelayRefused(f"phase {new} after {old}")


def _check_names(key: str, statuses: object, specified: Sequence[KubeObject]) -> None:
    if not isinstance(statuses, list) or not all(isinstance(status, dict) for status in statuses):
        raise RelayRefused(f"status.{key} is no list of objects")
    allowed = {container["name"] for container in specified}
    for status in statuses:
        name = status.get("name")
        if not isinstance(name, str) or name not in allowed:
            raise RelayRefused(f"status.{key} names {status.get('name')!r}, which the Pod does not have")


def _own_conditions(conditions: object) -> list[KubeObject]:
    if not isinstance(conditions, list) or not all(isinstance(condition, dict) for condition in conditions):
        raise RelayRefused("status.conditions is no list of objects")
    if any(condition.get("$patch", "delete") != "delete" for condition in conditions):
        raise RelayRefused("a directive in status.conditions that concerns other conditions")
    return [condition for condition in conditions if str(condition.get("type")) in KUBELET_CONDITIONS]
