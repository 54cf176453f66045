"""What a clone is told about itself (`guestinfo.vch.identity`) and what it answers (`guestinfo.vch.report`). Pure.

The identity is set atomically with the clone. `cloneId` is unique to one clone: it is latched at the thaw, and a later
different value means that this running machine was itself cloned. A standby clone has no pod at first (`pod` is null)
and is bound to one later, once.
"""

import base64
import binascii
import ipaddress
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .pod_network import PodNetwork

STANDBY = "standby"
"""The host name of a clone without a pod, unless it is told another."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this clone is. Raised errors name the field that is wrong."""

    clone_id: str
    namespace: str
    name: str
    uid: str
    """Of the pod; "" as long as there is none."""
    node: str
    hostname: str
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None
    nameservers: tuple[str, ...]
    pod_network: PodNetwork
    time: float
    seed: bytes
    client_ca: str

    @classmethod
    def parse(cls, value: dict[str, Any]) -> "Identity":
        """From the decoded guestinfo value. Raises ValueError."""
        pod = value.get("pod", "")
        if pod is not None and not isinstance(pod, dict):
            raise ValueError("identity.pod: an object with namespace, name and uid, or null, is required")
        standby = pod is None
        return cls(
            clone_id=_text(value, "cloneId"),
            namespace="" if pod is None else _text(pod, "namespace", "pod."),
            name="" if pod is None else _text(pod, "name", "pod."),
            uid="" if pod is None else _text(pod, "uid", "pod."),
            node=_text(value, "node"),
            hostname=STANDBY if standby and not value.get("hostname") else _text(value, "hostname"),
            address=_parsed(value, "address", ipaddress.ip_interface),
            gateway=_parsed(value, "gateway", ipaddress.ip_address) if value.get("gateway") else None,
            nameservers=tuple(str(ipaddress.ip_address(server)) for server in value.get("nameservers") or ()),
            pod_network=PodNetwork.parse(value.get("podNetwork")),
            time=_number(value, "time"),
            seed=_parsed(value, "seed", _base64),
            client_ca=_text(value, "clientCA"),
        )


def bound(standby: Identity, pods: Identity) -> bool:
    """Whether the second is the first with a pod: everything that a clone has by then must stay as it is."""
    return (
        not standby.uid
        and bool(pods.uid)
        and (standby.clone_id, standby.node, standby.address, standby.pod_network, standby.client_ca)
        == (pods.clone_id, pods.node, pods.address, pods.pod_network, pods.client_ca)
    )


def same_clone(latched: Identity, value: dict[str, Any] | None) -> bool:
    """Whether guestinfo still speaks of the clone that we are. An absent value does not contradict."""
    return value is None or value.get("cloneId") == latched.clone_id


def pod_uid(value: dict[str, Any]) -> str:
    """The pod's UID in an identity that may be damaged; "" if there is no pod."""
    pod = value.get("pod")
    return str(pod.get("uid") or "") if isinstance(pod, dict) else ""


class Phase(StrEnum):
    """What a clone reports."""

    READY = "Ready"
    REFUSED = "Refused"


def report(clone_id: str, phase: Phase, fingerprint: str, address: str, port: int, message: str = "") -> str:
    """The one atomic value of `guestinfo.vch.report`."""
    fields = {
        "cloneId": clone_id,
        "phase": phase,
        "fingerprint": fingerprint,
        "address": address,
        "port": port,
        "message": message,
    }
    return json.dumps(fields, separators=(",", ":"))


def _text(value: dict[str, Any], field: str, prefix: str = "") -> str:
    found = value.get(field)
    if not isinstance(found, str) or not found:
        raise ValueError(f"identity.{prefix}{field}: a non-empty string is required")
    return found


def _number(value: dict[str, Any], field: str) -> float:
    found = value.get(field)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"identity.{field}: a number is required")
    return float(found)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


def _parsed(value: dict[str, Any], field: str, parse: Any) -> Any:
    text = _text(value, field)
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"identity.{field}: {error}") from error
