"""The Pod's firewall: from the object that the provider feeds to the rules that nftables loads. Pure.

Its counterpart is `provider.network_policy.message`. The rules go into the empty chains `policy_ingress` and
`policy_egress` of the gateway's table `inet vch`, whose base rules have already accepted replies and the kubelet's
traffic; here are only connections that begin. Nothing of the object's text gets into the rules: addresses and ports are
written anew from numbers.

Sets of addresses and ports are anonymous, parts of their rules: flushing a chain takes them along, so that one
transaction leaves nothing behind of the rules before, however many those were.
"""

import functools
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import checked

API_VERSION, KIND = "guest.vch.dev/v1", "Firewall"
TABLE = "inet vch"
INGRESS_CHAIN, EGRESS_CHAIN = "policy_ingress", "policy_egress"

_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
_ANY = "Any"
_LAST_PORT = 65535
_BITS = {4: 32, 6: 128}

# Nothing may be left out: an absent list of peers must not pass for everybody.
_object = functools.partial(checked.mapping, required=True)
_list = functools.partial(checked.listed, required=True)

Range = tuple[int, int]
"""First and last, both included."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of one protocol; of every protocol if it is ""."""

    protocol: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Allows traffic with any of the peers to any of the ports."""

    v4: tuple[Range, ...]
    v6: tuple[Range, ...]
    ports: tuple[Ports, ...]


@dataclass(frozen=True, slots=True)
class Direction:
    """What is not isolated is open."""

    isolated: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Firewall:
    """What the provider says of one Pod."""

    pod_uid: str
    ingress: Direction
    egress: Direction

    @classmethod
    def parse(cls, value: Any) -> "Firewall":
        """From the decoded object. Raises ValueError that names the field."""
        whole = _object(value, "firewall")
        if not is_firewall(whole):
            raise ValueError(f"firewall: {KIND} of {API_VERSION} is required")
        name = _object(whole.get("metadata"), "metadata").get("name")
        if not isinstance(name, str) or not name:
            raise ValueError("metadata.name: the Pod's UID is required")
        spec = _object(whole.get("spec"), "spec")
        return cls(
            pod_uid=name,
            ingress=_direction(spec.get("ingress"), "spec.ingress"),
            egress=_direction(spec.get("egress"), "spec.egress"),
        )


def is_firewall(value: Any) -> bool:
    """Whether a fed object is one, by its apiVersion and kind."""
    return isinstance(value, dict) and (value.get("apiVersion"), value.get("kind")) == (API_VERSION, KIND)


def rules(firewall: Firewall) -> str:
    """Input of `nft -f`: one transaction that replaces the rules of both chains, whatever they were."""
    lines = [f"flush chain {TABLE} {chain}" for chain in (INGRESS_CHAIN, EGRESS_CHAIN)]
    for chain, direction, side in (
        (INGRESS_CHAIN, firewall.ingress, "saddr"),
        (EGRESS_CHAIN, firewall.egress, "daddr"),
    ):
        if direction.isolated:
            statements = [*(each for rule in direction.rules for each in _accepting(rule, side)), "drop"]
            lines += [f"add rule {TABLE} {chain} {statement}" for statement in statements]
    return "".join(f"{line}\n" for line in lines)


def _accepting(rule: Rule, side: str) -> Iterator[str]:
    for peers in _peer_matches(rule, side):
        for ports in _port_matches(rule.ports):
            yield " ".join(part for part in (peers, ports, "accept") if part)


def _peer_matches(rule: Rule, side: str) -> Iterator[str]:
    """Everybody of a family is no set: it would be looked up for each connection."""
    everybody = {version: ((0, (1 << bits) - 1),) for version, bits in _BITS.items()}
    if rule.v4 == everybody[4] and rule.v6 == everybody[6]:
        yield ""
        return
    for version, ranges, name, family in ((4, rule.v4, "ip", "ipv4"), (6, rule.v6, "ip6", "ipv6")):
        if ranges == everybody[version]:
            yield f"meta nfproto {family}"
        elif ranges:
            yield f"{name} {side} {{ {', '.join(_addresses(version, each) for each in ranges)} }}"


def _addresses(version: int, addresses: Range) -> str:
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    first, last = addresses
    return str(kind(first)) if first == last else f"{kind(first)}-{kind(last)}"


def _port_matches(ports: tuple[Ports, ...]) -> Iterator[str]:
    if any(not each.protocol for each in ports):
        yield ""
        return
    for protocol in _PROTOCOLS.values():
        ranges = [(each.first, each.last) for each in ports if each.protocol == protocol]
        if (0, _LAST_PORT) in ranges:
            yield f"meta l4proto {protocol}"
        elif ranges:
            texts = (str(first) if first == last else f"{first}-{last}" for first, last in _merged(ranges))
            yield f"{protocol} dport {{ {', '.join(texts)} }}"


def _direction(value: Any, field: str) -> Direction:
    direction = _object(value, field)
    isolated = direction.get("isolated")
    if not isinstance(isolated, bool):
        raise ValueError(f"{field}.isolated: true or false is required")
    given = _list(direction.get("rules"), f"{field}.rules")
    if given and not isolated:
        raise ValueError(f"{field}.rules: a direction that is not isolated has none")
    return Direction(isolated, tuple(_rule(rule, f"{field}.rules[{at}]") for at, rule in enumerate(given)))


def _rule(value: Any, field: str) -> Rule:
    rule = _object(value, field)
    peers: dict[int, list[Range]] = {4: [], 6: []}
    for at, peer in enumerate(_list(rule.get("peers"), f"{field}.peers")):
        version, addresses = _peer(peer, f"{field}.peers[{at}]")
        peers[version].append(addresses)
    ports = tuple(
        _ports(port, f"{field}.ports[{at}]") for at, port in enumerate(_list(rule.get("ports"), f"{field}.ports"))
    )
    return Rule(_merged(peers[4]), _merged(peers[6]), ports)


def _peer(value: Any, field: str) -> tuple[int, Range]:
    """An address, a CIDR or first-last."""
    if not isinstance(value, str) or "%" in value:  # a zone is part of an address to `ipaddress`, and any text
        raise ValueError(f"{field}: an address, a CIDR or first-last is required")
    try:
        if "/" in value:
            network = ipaddress.ip_network(value)
            return network.version, (int(network.network_address), int(network.broadcast_address))
        start, dash, end = value.partition("-")
        first = ipaddress.ip_address(start)
        last = ipaddress.ip_address(end) if dash else first
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error
    if first.version != last.version or int(first) > int(last):
        raise ValueError(f"{field}: {value!r} is no range, from first to last of one family")
    return first.version, (int(first), int(last))


def _ports(value: Any, field: str) -> Ports:
    port = _object(value, field)
    protocol = port.get("protocol")
    if protocol == _ANY:
        if "first" in port or "last" in port:
            raise ValueError(f"{field}.protocol: {_ANY} has no ports")
        return Ports("", 0, _LAST_PORT)
    if not isinstance(protocol, str) or protocol not in _PROTOCOLS:
        raise ValueError(f"{field}.protocol: {', '.join(_PROTOCOLS)} or {_ANY} is required")
    first, last = _number(port, "first", field), _number(port, "last", field)
    if first > last:
        raise ValueError(f"{field}.last: {last} is less than {first}")
    return Ports(_PROTOCOLS[protocol], first, last)


def _number(port: dict[str, Any], name: str, field: str) -> int:
    found = port.get(name)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _LAST_PORT:
        raise ValueError(f"{field}.{name}: a number from 0 to {_LAST_PORT} is required")
    return found


def _merged(ranges: list[Range]) -> tuple[Range, ...]:
    """Ascending and disjoint: nftables refuses intervals of one set that overlap."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)
