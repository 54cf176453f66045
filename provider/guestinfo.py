"""The keys a pod VM carries in its extraConfig, both ways: identity → keys, keys → `PodVM`, `GuestReport`.

Pure. Keys with the prefix `guestinfo.` can be read and written by the guest; all others are out of its reach (a guest's
`info-set` takes `guestinfo.*` only), and these alone are believed for ownership, address and pin. Nothing secret is
ever put into either: every vCenter user with read rights sees them. The agent's side is `guest/vch_agent/guestinfo.py`.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

from provider.podvm import GuestPhase, GuestReport, PodIdentity, PodVM, PowerState

CLUSTER = "vch.cluster"
VCH = "vch.vch"
NODE = "vch.node"
POD_NAMESPACE = "vch.pod.namespace"
POD_NAME = "vch.pod.name"
POD_UID = "vch.pod.uid"
ADDRESS = "vch.address"
CLONE_ID = "vch.cloneId"
PIN = "vch.pin"
IDENTITY = "guestinfo.vch.identity"
REPORT = "guestinfo.vch.report"

WATCHED = (CLUSTER, VCH, NODE, POD_NAMESPACE, POD_NAME, POD_UID, ADDRESS, CLONE_ID, PIN, REPORT)
"""What the inventory watch reads, one property path each: never the whole of extraConfig, which a guest can flood."""

GUEST_PORT = 10350
"""Where every agent serves; what a report says of it is not believed: a guest does not choose whom we dial."""

_MAX_REPORT = 4096  # a real report has about 300 bytes; more is not ours


@dataclass(frozen=True, slots=True)
class GuestNetwork:
    """The address of one clone and what goes with it."""

    address: str
    prefix_length: int
    gateway: str | None
    nameservers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CloneFacts:
    """What a clone must be told at its birth; `seed` only adds uniqueness, it is no secret."""

    identity: PodIdentity
    clone_id: str
    hostname: str
    network: GuestNetwork
    client_ca_pem: str
    seed: bytes
    now: float


def encode_clone(facts: CloneFacts) -> dict[str, str]:
    """All keys of a clone, to be set atomically with it through InstantCloneSpec.config."""
    who = facts.identity
    network = facts.network
    told = {
        "cloneId": facts.clone_id,
        "pod": {"namespace": who.namespace, "name": who.name, "uid": who.uid},
        "node": who.node,
        "hostname": facts.hostname,
        "address": f"{network.address}/{network.prefix_length}",
        "gateway": network.gateway,
        "nameservers": list(network.nameservers),
        "time": facts.now,
        "seed": base64.b64encode(facts.seed).decode(),
        "clientCA": facts.client_ca_pem,
    }
    return {
        CLUSTER: who.cluster,
        VCH: who.vch,
        NODE: who.node,
        POD_NAMESPACE: who.namespace,
        POD_NAME: who.name,
        POD_UID: who.uid,
        ADDRESS: network.address,
        CLONE_ID: facts.clone_id,
        # A clone of a pod VM would inherit these two from its source.
        PIN: "",
        REPORT: "",
        IDENTITY: json.dumps(told, separators=(",", ":")),
    }


def decode_pod_vm(moref: str, name: str, power_state: PowerState, extra_config: Mapping[str, str]) -> PodVM | None:
    """The pod VM that carries these keys, or None if a mark is missing: then it is not ours, and never touched."""
    values = [extra_config.get(key, "") for key in (CLUSTER, VCH, NODE, POD_NAMESPACE, POD_NAME, POD_UID)]
    if not all(values):
        return None
    clone_id = extra_config.get(CLONE_ID, "")
    return PodVM(
        moref=moref,
        name=name,
        identity=PodIdentity(*values),
        power_state=power_state,
        address=extra_config.get(ADDRESS, ""),
        clone_id=clone_id,
        pin=extra_config.get(PIN) or None,
        report=decode_report(extra_config.get(REPORT, ""), clone_id),
    )


def decode_report(text: str, clone_id: str) -> GuestReport | None:
    """The agent's report, or None if there is none, it is malformed, or it is another clone's (inherited)."""
    if not text or len(text) > _MAX_REPORT:
        return None
    try:
        raw = json.loads(text)
        report = GuestReport(
            clone_id=str(raw["cloneId"]),
            phase=GuestPhase(raw["phase"]),
            fingerprint=str(raw["fingerprint"]),
            address=str(raw["address"]),
            port=int(raw["port"]),
            message=str(raw.get("message", ""))[:512],
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return report if report.clone_id == clone_id else None
