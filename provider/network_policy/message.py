"""The object by which a guest is told its Pod's firewall. Pure.

Its counterpart is `vch_agent.policy`. Equal firewalls of a Pod are equal objects, so who feeds them needs no memory of
what a firewall was.

    apiVersion: guest.vch.dev/v1
    kind: Firewall
    metadata: {name: the Pod's UID}
    spec:
      ingress:
        isolated: true            # false: no rules, everything may come in
        rules:
        - peers: ["10.0.0.0/24", "10.0.1.7", "2001:db8::1-2001:db8::5"]    # the sources; for egress the destinations
          ports:
          - {protocol: TCP, first: 80, last: 80}                           # TCP, UDP or SCTP
          - {protocol: Any}                                                # every protocol, all that IP carries
      egress: {isolated: false, rules: []}
"""

from typing import Any

from provider.network_policy.firewall import Direction, Firewall, Rule
from provider.network_policy.policies import PortRange

API_VERSION, KIND = "guest.vch.dev/v1", "Firewall"


def firewall_object(pod_uid: str, firewall: Firewall) -> dict[str, Any]:
    """What is fed."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": pod_uid},
        "spec": {"ingress": _direction(firewall.ingress), "egress": _direction(firewall.egress)},
    }


def _direction(direction: Direction) -> dict[str, Any]:
    return {"isolated": direction.isolated, "rules": [_rule(rule) for rule in direction.rules]}


def _rule(rule: Rule) -> dict[str, Any]:
    ports = [{"protocol": "Any"}] if rule.ports is None else [_port(port) for port in rule.ports]
    return {"peers": list(rule.peers.texts()), "ports": ports}


def _port(port: PortRange) -> dict[str, Any]:
    return {"protocol": port.protocol.value, "first": port.first, "last": port.last}
