"""Worlds of policies, Namespaces and Pods by chance: few names and addresses, so that things meet."""

import random
from collections.abc import Sequence
from typing import Any

from tests.network_policy.objects import make_namespace, make_peer, make_policy
from tests.network_policy.reference import Connection, World

NAMESPACES = ("a", "b", "c")
APPS = ("web", "db", "cache")
PORT_NAMES = ("http", "dns", "admin")
PORTS = (53, 80, 81, 443, 8080, 8085, 9000)
PROTOCOLS = ("TCP", "UDP", "SCTP")
STRANGERS = ("10.0.0.200", "10.0.1.9", "192.0.2.1", "192.0.2.130", "fd00::200", "2001:db8::1", "2001:db8:1::7")
BLOCKS: Sequence[tuple[str, Sequence[str]]] = (
    ("0.0.0.0/0", ("10.0.0.0/8", "192.0.2.128/25", "192.0.2.1/32")),
    ("10.0.0.0/24", ("10.0.0.0/29", "10.0.0.3/32", "10.0.0.128/25")),
    ("192.0.2.0/24", ("192.0.2.0/25",)),
    ("10.0.0.2/32", ()),
    ("::/0", ("fd00::/16", "2001:db8::1/128")),
    ("2001:db8::/32", ("2001:db8:1::/48",)),
    ("fd00::/64", ("fd00::2/127",)),
)


def make_world(chance: random.Random) -> World:
    """`pods[0]` is ours."""
    pods = [_pod(chance, number) for number in range(1, 9)]
    ours = pods[0]
    ours["spec"].pop("hostNetwork", None)
    ours["metadata"].pop("deletionGracePeriodSeconds", None)
    ours["status"]["phase"] = "Running"
    namespaces = [make_namespace(name, team=chance.choice(("x", "y"))) for name in NAMESPACES]
    policies = [_policy(chance, number, ours) for number in range(chance.randint(1, 4))]
    return World(policies, namespaces, pods)


def connections(world: World) -> list[Connection]:
    """Of the Pod with everybody else, by every protocol to every port that may be meant."""
    peers = [*(each["ip"] for pod in world.pods[1:] for each in pod["status"]["podIPs"]), *STRANGERS]
    return [
        Connection(ingress, peer, protocol, port)
        for ingress in (True, False)
        for peer in peers
        for protocol in PROTOCOLS
        for port in PORTS
    ]


def _pod(chance: random.Random, number: int) -> dict:
    ips = [f"10.0.0.{number}", *([f"fd00::{number}"] if chance.random() < 0.6 else ())]
    names = chance.sample(PORT_NAMES, chance.randint(0, 3))
    meta: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    phase = "Running"
    match chance.randrange(10):
        case 0:
            phase = chance.choice(("Succeeded", "Failed"))
        case 1:
            spec["hostNetwork"] = True
        case 2:
            meta = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": chance.choice((0, 30))}
    return make_peer(
        f"pod-{number}",
        *ips,
        namespace=chance.choice(NAMESPACES),
        labels={"app": chance.choice(APPS), **({"canary": "yes"} if chance.random() < 0.3 else {})},
        ports={name: (chance.choice(PROTOCOLS[:2]), chance.choice(PORTS)) for name in names},
        phase=phase,
        meta=meta,
        **spec,
    )


def _policy(chance: random.Random, number: int, ours: dict) -> dict:
    spec: dict[str, Any] = {}
    if chance.random() < 0.8:
        labels = ours["metadata"]["labels"]
        spec["podSelector"] = {"matchLabels": {"app": labels["app"]}} if chance.random() < 0.5 else {}
    else:
        spec["podSelector"] = _selector(chance, "app", APPS)
    if chance.random() < 0.7:
        spec["policyTypes"] = chance.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
    for direction, side in (("ingress", "from"), ("egress", "to")):
        if chance.random() < 0.7:
            spec[direction] = [_rule(chance, side) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
    namespace = ours["metadata"]["namespace"] if chance.random() < 0.9 else chance.choice(NAMESPACES)
    return make_policy(spec, f"policy-{number}", namespace)


def _rule(chance: random.Random, side: str) -> dict:
    rule: dict[str, Any] = {}
    if chance.random() < 0.85:
        rule[side] = [_peer(chance) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
    if chance.random() < 0.7:
        rule["ports"] = [_port(chance) for _ in range(chance.choice((0, 1, 1, 2, 3)))]
    return rule


def _peer(chance: random.Random) -> dict:
    match chance.randrange(4):
        case 0:
            cidr, exceptions = chance.choice(BLOCKS)
            left_out = chance.sample(exceptions, chance.randint(0, len(exceptions)))
            return {"ipBlock": {"cidr": cidr, **({"except": left_out} if left_out else {})}}
        case 1:
            return {"podSelector": _selector(chance, "app", APPS)}
        case 2:
            return {"namespaceSelector": _selector(chance, "team", ("x", "y"))}
    return {"namespaceSelector": _selector(chance, "team", ("x", "y")), "podSelector": _selector(chance, "app", APPS)}


def _selector(chance: random.Random, key: str, values: Sequence[str]) -> dict:
    match chance.randrange(6):
        case 0 | 1:
            return {}
        case 2 | 3:
            return {"matchLabels": {key: chance.choice(values)}}
        case 4:
            operator = chance.choice(("In", "NotIn"))
            return {"matchExpressions": [{"key": key, "operator": operator, "values": chance.sample(values, 2)}]}
    return {"matchExpressions": [{"key": "canary", "operator": chance.choice(("Exists", "DoesNotExist"))}]}


def _port(chance: random.Random) -> dict:
    port: dict[str, Any] = {}
    if chance.random() < 0.6:
        port["protocol"] = chance.choice(PROTOCOLS)
    match chance.randrange(5):
        case 0:
            pass
        case 1 | 2:
            port["port"] = chance.choice(PORTS)
        case 3:
            port["port"] = chance.choice(PORT_NAMES)
        case 4:
            port["port"] = chance.choice(PORTS)
            port["endPort"] = port["port"] + chance.choice((0, 1, 10, 1000))
    return port
