"""One request of a guest: its size, whom it is about, whether it may end that, and how it is refused. Pure."""

import json
from dataclasses import dataclass

from provider.feed import KubeObject

STRATEGIC_MERGE = "application/strategic-merge-patch+json"
MERGE_TYPES = (STRATEGIC_MERGE, "application/merge-patch+json")
BODY_LIMIT = 1 << 20
DEPTH_LIMIT = 64


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


def check_delete(body: KubeObject, pod: KubeObject) -> str:
    """The UID that the delete is conditioned on; only a Pod that is being deleted may go. Raises RelayRefused."""
    meta = pod["metadata"]
    if not meta.get("deletionTimestamp"):
        raise RelayRefused("a delete of a Pod that nobody deleted")
    uid = an_object(body.get("preconditions"), "preconditions").get("uid")
    if uid is not None and uid != meta["uid"]:
        raise RelayRefused(f"a delete of another Pod (UID {uid!r})")
    return str(meta["uid"])


def an_object(value: object, field: str) -> KubeObject:
    """What may be left out, but must be an object if it is there. Raises RelayRefused."""
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
