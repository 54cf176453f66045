"""May this connection begin? Answered straight from the objects, one connection at a time, and only for the tests.

Written from the API reference, without a look at how the provider does it: nothing is collected, sorted or shared here.
"""

import ipaddress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class World:
    """Everything that the API server has."""

    policies: list[dict]
    namespaces: list[dict]
    pods: list[dict]


@dataclass(frozen=True)
class Connection:
    """Of a Pod with an address outside it. `ingress`: it comes from there; else it goes there."""

    ingress: bool
    peer: str
    protocol: str
    port: int


def permits(world: World, pod: dict, connection: Connection) -> bool:
    direction = "Ingress" if connection.ingress else "Egress"
    applied = False
    for policy in world.policies:
        if policy["metadata"]["namespace"] != pod["metadata"]["namespace"]:
            continue
        if not _selects(policy["spec"].get("podSelector", {}), pod["metadata"]["labels"]):
            continue
        if direction not in _types(policy["spec"]):
            continue
        applied = True
        for rule in policy["spec"].get(direction.lower()) or []:
            if _peer_matches(world, policy, rule, connection) and _port_matches(world, pod, rule, connection):
                return True
    return not applied


def _types(spec: dict) -> list[str]:
    if spec.get("policyTypes"):
        types: list[str] = spec["policyTypes"]
        return types
    return ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _peer_matches(world: World, policy: dict, rule: dict, connection: Connection) -> bool:
    peers = rule.get("from" if connection.ingress else "to")
    if not peers:
        return True
    for peer in peers:
        if peer.get("ipBlock"):
            if _in(connection.peer, peer["ipBlock"]["cidr"]) and not any(
                _in(connection.peer, cidr) for cidr in peer["ipBlock"].get("except", [])
            ):
                return True
            continue
        for other in _pods_at(world, connection.peer):
            namespace = next(
                (each for each in world.namespaces if each["metadata"]["name"] == other["metadata"]["namespace"]), None
            )
            if "namespaceSelector" in peer:
                if namespace is None or not _selects(peer["namespaceSelector"], namespace["metadata"]["labels"]):
                    continue
            elif other["metadata"]["namespace"] != policy["metadata"]["namespace"]:
                continue
            if _selects(peer.get("podSelector", {}), other["metadata"]["labels"]):
                return True
    return False


def _port_matches(world: World, pod: dict, rule: dict, connection: Connection) -> bool:
    if not rule.get("ports"):
        return True
    for port in rule["ports"]:
        if port.get("protocol", "TCP") != connection.protocol:
            continue
        if "port" not in port:
            return True
        if isinstance(port["port"], str):
            destinations = [pod] if connection.ingress else _pods_at(world, connection.peer)
            if any(_calls(each, connection.protocol, connection.port, port["port"]) for each in destinations):
                return True
        elif port["port"] <= connection.port <= port.get("endPort", port["port"]):
            return True
    return False


def _calls(pod: dict, protocol: str, number: int, name: str) -> bool:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports", []):
            if (port.get("name"), port.get("protocol", "TCP"), port["containerPort"]) == (name, protocol, number):
                return True
    return False


def _pods_at(world: World, address: str) -> list[dict]:
    found = []
    for pod in world.pods:
        if pod["spec"].get("hostNetwork") or pod["status"]["phase"] in ("Succeeded", "Failed"):
            continue
        if pod["metadata"].get("deletionGracePeriodSeconds") == 0:
            continue
        if any(ipaddress.ip_address(each["ip"]) == ipaddress.ip_address(address) for each in pod["status"]["podIPs"]):
            found.append(pod)
    return found


def _in(address: str, cidr: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)


def _selects(selector: dict, labels: dict[str, Any]) -> bool:
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], expression.get("values", [])
        there = key in labels
        fits = {
            "In": there and labels[key] in values,
            "NotIn": not there or labels[key] not in values,
            "Exists": there,
            "DoesNotExist": not there,
        }
        if not fits[expression["operator"]]:
            return False
    return True
