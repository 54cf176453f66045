"""The keys that VMs of ours carry in their extraConfig, both ways: values → keys, keys → `PodVM`, `ParentVM`.

Pure. Keys with the prefix `guestinfo.` can be read and written by the guest; all others are out of its reach (a guest's
`info-set` takes `guestinfo.*` only), and these alone are believed for ownership, address and pin. Nothing secret is
ever put into either: every vCenter user with read rights sees them. What guests report in one of them is read by the
neighbour `guest_reports`; the agent's side is `guest/vch_agent/guestinfo.py`.

A clone inherits its source's keys, so each of the `encode_…` for a new VM names every key, and empties (removes) what
is not that VM's.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from provider.guest_reports import decode_parent_report, decode_report
from provider.parentvm import ParentKey, ParentMarks, ParentVM
from provider.podvm import CloneOrigin, PodIdentity, PodVM
from provider.power import PowerState

CLUSTER = "vch.cluster"
VCH = "vch.vch"
NODE = "vch.node"
POD_NAMESPACE = "vch.pod.namespace"
POD_NAME = "vch.pod.name"
POD_UID = "vch.pod.uid"
STANDBY = "vch.standby"
ADDRESS = "vch.address"
POD_ADDRESS = "vch.podAddress"
LEASED = "DHCP"  # in the place of an address: it is leased, see `leased_address`
CLONE_ID = "vch.cloneId"
PIN = "vch.pin"
PARENT_ID = "vch.parentId"
IMAGE = "vch.image"
CLASS = "vch.class"
SHARES = "vch.shares"
PARENT_MARKS = "vch.parent"
IDENTITY = "guestinfo.vch.identity"
PARENT = "guestinfo.vch.parent"
REPORT = "guestinfo.vch.report"

_MARKS = (CLUSTER, VCH, NODE, POD_NAMESPACE, POD_NAME, POD_UID, STANDBY)
_ORIGIN = (PARENT_ID, IMAGE, CLASS, SHARES)

WATCHED = (*_MARKS, ADDRESS, POD_ADDRESS, CLONE_ID, PIN, *_ORIGIN, PARENT_MARKS, REPORT)
"""What the inventory watch reads, one property path each: never the whole of extraConfig, which a guest can flood."""

GUEST_PORT = 10350
"""Where every agent serves; what a report says of it is not believed: a guest does not choose whom we dial."""


@dataclass(frozen=True, slots=True)
class GuestNetwork:
    """The management address of one clone and what goes with it."""

    address: str
    prefix_length: int
    gateway: str | None
    nameservers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """The network of the Pod in one clone: `podNetwork` of its identity. What the words mean is `api.pod_network`'s."""

    addresses: tuple[str, ...]  # one of each family at most, the primary first, with their prefix lengths: 10.1.0.5/24
    gateways: tuple[str, ...]
    isolation: str
    denied: tuple[str, ...]  # networks, addresses and first-last ranges that the Pod must not reach
    dhcp: bool = False  # addresses and gateways are a DHCP server's to give


@dataclass(frozen=True, slots=True)
class CloneFacts:
    """What a clone must be told at its birth; `seed` only adds uniqueness, it is no secret."""

    identity: PodIdentity
    clone_id: str
    hostname: str
    network: GuestNetwork
    pod_network: PodNetwork
    client_ca_pem: str
    seed: bytes
    now: float
    origin: CloneOrigin


def encode_clone(facts: CloneFacts) -> dict[str, str]:
    """All keys of a clone, to be set atomically with it through InstantCloneSpec.config."""
    who, origin = facts.identity, facts.origin
    return {
        CLUSTER: who.cluster,
        VCH: who.vch,
        NODE: who.node,
        **_pod_keys(who),
        ADDRESS: facts.network.address,
        POD_ADDRESS: ",".join(address.partition("/")[0] for address in facts.pod_network.addresses) or LEASED,
        CLONE_ID: facts.clone_id,
        PIN: "",
        PARENT_ID: origin.parent_id,
        IMAGE: origin.image,
        CLASS: origin.vm_class,
        SHARES: origin.namespace,
        PARENT_MARKS: "",
        PARENT: "",
        REPORT: "",
        IDENTITY: _identity(facts),
    }


def encode_bind(facts: CloneFacts) -> dict[str, str]:
    """What makes a standby clone a Pod's: `facts` as at its birth, but for identity (now with a Pod) and hostname."""
    return {**_pod_keys(facts.identity), IDENTITY: _identity(facts)}


def encode_parent(marks: ParentMarks, told: Mapping[str, Any], address: str = "") -> dict[str, str]:
    """All keys of a parent; `told` is what its agent reads at `guestinfo.vch.parent`, `address` the one in it."""
    of_pod_vms = dict.fromkeys((*_MARKS, POD_ADDRESS, CLONE_ID, PIN, *_ORIGIN, IDENTITY), "")
    return {
        **of_pod_vms,
        ADDRESS: address,
        PARENT_MARKS: _json(asdict(marks)),
        PARENT: _json(told),
        REPORT: "",
    }


def decode_pod_vm(
    moref: str,
    name: str,
    power_state: PowerState,
    extra_config: Mapping[str, str],
    *,
    host: str = "",
    connected: bool = True,
    change_version: str = "",
) -> PodVM | None:
    """The pod VM that carries these keys, or None if a mark is missing: then it is not ours, and never touched.

    The change version is left out once the VM has a Pod: only binding needs it, and from then on the Pod can raise it
    at will by writing guestinfo.
    """
    if extra_config.get(PARENT_MARKS):
        return None
    owner = [extra_config.get(key, "") for key in (CLUSTER, VCH, NODE)]
    pod = [extra_config.get(key, "") for key in (POD_NAMESPACE, POD_NAME, POD_UID)]
    standby = bool(extra_config.get(STANDBY)) and not any(pod)
    if not all(owner) or not (standby or all(pod)):
        return None
    clone_id = extra_config.get(CLONE_ID, "")
    origin = [extra_config.get(key, "") for key in _ORIGIN]
    return PodVM(
        moref=moref,
        name=name,
        identity=PodIdentity(*owner, *pod),
        power_state=power_state,
        address=extra_config.get(ADDRESS, ""),
        # A VM of before there were two has one address, its own and its Pod's.
        pod_addresses=_addresses(extra_config.get(POD_ADDRESS) or extra_config.get(ADDRESS, "")),
        clone_id=clone_id,
        pin=extra_config.get(PIN) or None,
        report=decode_report(extra_config.get(REPORT, ""), clone_id),
        host=host,
        connected=connected,
        origin=CloneOrigin(*origin) if all(origin[:-1]) else None,
        change_version=change_version if standby else "",
    )


def decode_parent(
    moref: str,
    name: str,
    power_state: PowerState,
    extra_config: Mapping[str, str],
    *,
    frozen: bool,
    host: str,
    cpus: int,
    memory_mib: int,
) -> ParentVM | None:
    """The parent that carries these keys, or None if it is none."""
    try:
        raw = json.loads(extra_config.get(PARENT_MARKS) or "null")
        marks = ParentMarks(**{**raw, "key": ParentKey(**raw["key"]), "made": float(raw.get("made") or 0.0)})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return ParentVM(
        moref=moref,
        name=name,
        marks=marks,
        power_state=power_state,
        frozen=frozen,
        host=host,
        cpus=cpus,
        memory_mib=memory_mib,
        report=decode_parent_report(extra_config.get(REPORT, ""), marks.parent_id),
        address=extra_config.get(ADDRESS, ""),
    )


def _pod_keys(who: PodIdentity) -> dict[str, str]:
    return {POD_NAMESPACE: who.namespace, POD_NAME: who.name, POD_UID: who.uid, STANDBY: "" if who.uid else "1"}


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text not in ("", LEASED) else ()


def _identity(facts: CloneFacts) -> str:
    who, network = facts.identity, facts.network
    told = {
        "cloneId": facts.clone_id,
        "pod": {"namespace": who.namespace, "name": who.name, "uid": who.uid} if who.uid else None,
        "node": who.node,
        "hostname": facts.hostname,
        "address": f"{network.address}/{network.prefix_length}",
        "gateway": network.gateway,
        "nameservers": list(network.nameservers),
        "podNetwork": _pod_network(facts.pod_network),
        "time": facts.now,
        "seed": base64.b64encode(facts.seed).decode(),
        "clientCA": facts.client_ca_pem,
    }
    return _json(told)


def _pod_network(network: PodNetwork) -> dict[str, Any]:
    return {
        "addresses": list(network.addresses),
        "gateways": list(network.gateways),
        "isolation": network.isolation,
        "denied": list(network.denied),
        **({"dhcp": True} if network.dhcp else {}),
    }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
