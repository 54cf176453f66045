"""What a guest may say: checks of everything that a guest asks to have written in the cluster. Pure.

A tenant is taken to be root in its guest. So nothing a guest sends is passed on as it is: each request is checked
against the one Pod that the VM was made for, and built anew from an allow-list. The counterpart is `feed`; who carries
out the checked requests is `relay_controller`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provider.feed import KubeObject, containers

TERMINAL = ("Succeeded", "Failed")
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
MERGE_TYPES = (STRATEGIC_MERGE, "application/merge-patch+json")
BODY_LIMIT = 1 << 20
DEPTH_LIMIT = 64

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

_EVENT_FIELDS = (
    "type",
    "reason",
    "message",
    "count",
    "firstTimestamp",
    "lastTimestamp",
    "eventTime",
    "series",
    "action",
)


@dataclass(frozen=True, slots=True)
class RelayRequest:
    """One request of a guest's kubelet that the agent passes on."""

    verb: str
    namespace: str
    name: str
    content_type: str
    body: KubeObject


@dataclass(frozen=True, slots=True)
class RelayReply:
    """The answer, as the API server would give it: an HTTP status code and an object (a Status for an error)."""

    code: int
    object: KubeObject


class RelayRefused(Exception):
    """The guest asked for what it may not have; the message says which rule it broke."""


def check_size(request: RelayRequest) -> None:
    """Raises RelayRefused for a body that no kubelet would send."""
    if _is_deep(request.body):
        raise RelayRefused(f"a body of more than {DEPTH_LIMIT} levels")
    if len(json.dumps(request.body)) > BODY_LIMIT:
        raise RelayRefused(f"a body of more than {BODY_LIMIT} bytes")


def _is_deep(body: object) -> bool:
    """Whether to encode it could exceed the interpreter's stack; asked without recursion for that reason."""
    level = [body]
    for _ in range(DEPTH_LIMIT):
        parts = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [inner for part in parts for inner in part]
    return bool(level)


def check_subject(request: RelayRequest, pod: KubeObject) -> None:
    """Raises RelayRefused unless the request names the guest's own Pod."""
    meta = pod["metadata"]
    if (request.namespace, request.name) != (meta["namespace"], meta["name"]):
        raise RelayRefused(f"{request.verb} of {request.namespace}/{request.name}, which is not this VM's Pod")


def check_status_patch(
    patch: KubeObject, content_type: str, pod: KubeObject, *, pod_ips: Sequence[str], host_ip: str
) -> KubeObject:
    """The kubelet's status patch, built anew; the UID is added so that it cannot hit a later Pod of the same name.

    Addresses are imposed, whatever the guest says. Raises RelayRefused.
    """
    if content_type.partition(";")[0] != STRATEGIC_MERGE:  # any other replaces lists: others' conditions would go
        raise RelayRefused(f"a status patch of type {content_type!r}")
    uid = _object(patch.get("metadata"), "metadata").get("uid")
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


def check_event(event: KubeObject, pod: KubeObject, node: str) -> KubeObject:
    """An event about this very Pod, said by the kubelet of this very node. Raises RelayRefused."""
    meta = pod["metadata"]
    about = _object(event.get("involvedObject"), "involvedObject")
    if about.get("kind") != "Pod" or about.get("uid") != meta["uid"]:
        raise RelayRefused(f"an event about {about.get('kind')} {about.get('name')!r}")
    subject = {
        "apiVersion": "v1", "kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"],
    }  # fmt: skip
    field_path = about.get("fieldPath")
    if isinstance(field_path, str):
        subject["fieldPath"] = field_path
    name = _object(event.get("metadata"), "metadata").get("name")
    if not _is_own_event(name, pod):
        raise RelayRefused(f"an event of the name {name!r}")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": meta["namespace"]},
        "involvedObject": subject,
        "source": {"component": "kubelet", "host": node},
        "reportingComponent": "kubelet",
        "reportingInstance": node,
        **{key: event[key] for key in _EVENT_FIELDS if key in event},
    }


def check_event_patch(name: str, patch: KubeObject, content_type: str, pod: KubeObject) -> KubeObject:
    """The kubelet's update of an event's count. Raises RelayRefused."""
    if content_type.partition(";")[0] not in MERGE_TYPES:
        raise RelayRefused(f"an event patch of type {content_type!r}")
    if not _is_own_event(name, pod):
        raise RelayRefused(f"a patch of the event {name!r}")
    return {key: patch[key] for key in _EVENT_FIELDS if key in patch}


def _is_own_event(name: object, pod: KubeObject) -> bool:
    """Recorders name an event after its Pod and an instant in hex. `web.other.17` is of the Pod `web.other`."""
    if not isinstance(name, str):
        return False
    subject, _, instant = name.rpartition(".")
    return subject == pod["metadata"]["name"] and re.fullmatch("[0-9a-f]+", instant) is not None


def check_token_request(service_account: str, body: KubeObject, pod: KubeObject) -> KubeObject:
    """A TokenRequest for the Pod's own account and an audience of its spec, bound to the Pod. Raises RelayRefused."""
    spec = pod["spec"]
    own = spec.get("serviceAccountName") or "default"
    if service_account != own:
        raise RelayRefused(f"a token of the ServiceAccount {service_account!r}, the Pod's is {own!r}")
    asked = _object(body.get("spec"), "spec")
    wanted = asked.get("audiences") or []
    if not isinstance(wanted, list) or not all(isinstance(audience, str) for audience in wanted):
        raise RelayRefused("spec.audiences is no list of strings")
    audiences = tuple(wanted)
    if audiences not in _audiences(spec):
        raise RelayRefused(f"a token for the audiences {list(audiences)}, which the Pod does not name")
    meta = pod["metadata"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    checked: KubeObject = {"audiences": list(audiences), "boundObjectRef": bound}
    if isinstance(asked.get("expirationSeconds"), int):
        checked["expirationSeconds"] = asked["expirationSeconds"]
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": checked}


def _audiences(spec: KubeObject) -> set[tuple[str, ...]]:
    allowed: set[tuple[str, ...]] = set()
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in source:
                audience = source["serviceAccountToken"].get("audience")
                allowed.add((audience,) if audience else ())
    return allowed


def check_delete(body: KubeObject, pod: KubeObject) -> str:
    """The UID that the delete is conditioned on; only a Pod that is being deleted may go. Raises RelayRefused."""
    meta = pod["metadata"]
    if not meta.get("deletionTimestamp"):
        raise RelayRefused("a delete of a Pod that nobody deleted")
    uid = _object(body.get("preconditions"), "preconditions").get("uid")
    if uid is not None and uid != meta["uid"]:
        raise RelayRefused(f"a delete of another Pod (UID {uid!r})")
    return str(meta["uid"])


def _object(value: object, field: str) -> KubeObject:
    """What may be left out, but must be an object if it is there."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RelayRefused(f"{field} is no object")
    return value


def refusal(reason: str) -> RelayReply:
    """What the guest is answered when it asked for too much."""
    status = {
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": f"the virtual node refuses {reason}",
    }  # fmt: skip
    return RelayReply(code=403, object=status)


__all__ = [
    "RelayRefused",
    "RelayReply",
    "RelayRequest",
    "addresses",
    "check_delete",
    "check_event",
    "check_event_patch",
    "check_size",
    "check_status_patch",
    "check_subject",
    "check_token_request",
    "containers",
    "refusal",
]
