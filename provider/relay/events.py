"""Events: about the guest's own Pod, said by its kubelet. Pure."""

import re

from provider.feed import KubeObject
from provider.relay.request import MERGE_TYPES, RelayRefused, an_object

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


def check_event(event: KubeObject, pod: KubeObject, node: str) -> KubeObject:
    """An event about this very Pod, said by the kubelet of this very node. Raises RelayRefused."""
    meta = pod["metadata"]
    about = an_object(event.get("involvedObject"), "involvedObject")
    if about.get("kind") != "Pod" or about.get("uid") != meta["uid"]:
        raise RelayRefused(f"an event about {about.get('kind')} {about.get('name')!r}")
    subject = {
        "apiVersion": "v1", "kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"],
    }  # fmt: skip
    field_path = about.get("fieldPath")
    if isinstance(field_path, str):
        subject["fieldPath"] = field_path
    name = an_object(event.get("metadata"), "metadata").get("name")
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
