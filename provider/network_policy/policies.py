"""NetworkPolicy objects (networking.k8s.io/v1) as values: defaults filled in, absent told from empty. Pure.

What a field means is cited from the API reference (`NetworkPolicySpec` and its parts). The API server has validated the
objects; what cannot be read all the same allows nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from provider.network_policy.address_set import NOBODY, Address, AddressSet
from provider.network_policy.facts import NamedPort, PodFacts
from provider.network_policy.selectors import EVERYTHING, Selector

KubeObject = dict[str, Any]
LAST_PORT = 65535


class Protocol(StrEnum):
    """What a policy can name."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports of one protocol, both ends included."""

    protocol: Protocol
    first: int = 0
    last: int = LAST_PORT


@dataclass(frozen=True, slots=True)
class PortName:
    """A port that each destination Pod has a number for, or not."""

    protocol: Protocol
    name: str

    def numbers(self, ports: Iterable[NamedPort]) -> frozenset[int]:
        """Of a Pod with these ports; it may give several containers' ports one name."""
        return frozenset(port.number for port in ports if (port.name, port.protocol) == (self.name, self.protocol))


@dataclass(frozen=True, slots=True)
class PodPeers:
    """Pods by their labels, of one namespace or of those with certain labels."""

    namespaces: str | Selector
    """A namespace's name, or labels of namespaces."""
    pods: Selector
    port: PortName | None = None
    """Only Pods that have it."""

    @property
    def by_labels(self) -> bool:
        """Whether it depends on Namespaces' labels which namespaces are meant."""
        return isinstance(self.namespaces, Selector)

    def part(self, pod: PodFacts | None) -> tuple[tuple[Address, ...], frozenset[int]]:
        """What a Pod of these namespaces adds: addresses, and numbers of the port. Nothing if it is not meant."""
        if pod is None or not pod.addresses or not self.pods.selects(pod.labels):
            return (), frozenset()
        if self.port is None:
            return pod.addresses, frozenset()
        numbers = self.port.numbers(pod.ports)
        return (pod.addresses, numbers) if numbers else ((), numbers)


def having(port: PortName) -> PodPeers:
    """The Pods of the whole cluster that have a port of this name."""
    return PodPeers(EVERYTHING, EVERYTHING, port)


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """Allows what matches a peer and a port; None: not restricted by it."""

    peers: tuple[PodPeers | AddressSet, ...] | None
    ports: tuple[PortRange | PortName, ...] | None


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy. A direction that is None is no concern of it; one without rules is closed."""

    namespace: str
    name: str
    subject: Selector
    ingress: tuple[PolicyRule, ...] | None
    egress: tuple[PolicyRule, ...] | None

    def pod_peers(self) -> Iterator[PodPeers]:
        """The Pods whose addresses, or whose numbers of a named port, this policy needs."""
        for rule in (*(self.ingress or ()), *(self.egress or ())):
            yield from (peer for peer in rule.peers or () if isinstance(peer, PodPeers))
        for rule in self.egress or ():
            yield from (having(port) for port in rule.ports or () if isinstance(port, PortName))


def parse_policy(value: KubeObject) -> Policy:
    """From the object as the API server has it. One whose subject cannot be read is about its whole namespace."""
    meta, spec = value["metadata"], value.get("spec") or {}
    ingress, egress = spec.get("ingress") or (), spec.get("egress") or ()
    # "If this field is not specified, it will default based on the existence of ingress or egress rules; […] all
    # policies (whether or not they contain an ingress section) are assumed to affect ingress."
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if egress else ())]
    namespace = meta["namespace"]
    return Policy(
        namespace=namespace,
        name=meta["name"],
        subject=_subject(spec.get("podSelector") or {}),
        ingress=tuple(_rule(rule, "from", namespace) for rule in ingress) if "Ingress" in types else None,
        egress=tuple(_rule(rule, "to", namespace) for rule in egress) if "Egress" in types else None,
    )


def _subject(selector: KubeObject) -> Selector:
    try:
        return Selector.parse(selector)
    except ValueError:
        return EVERYTHING


def _rule(rule: KubeObject, side: str, namespace: str) -> PolicyRule:
    """An empty list of peers or of ports is none: "If this field is empty or missing, this rule matches all […]"."""
    peers, ports = rule.get(side), rule.get("ports")
    return PolicyRule(
        peers=tuple(_peer(peer, namespace) for peer in peers) if peers else None,
        ports=tuple(read for port in ports if (read := _port(port))) if ports else None,
    )


def _peer(peer: KubeObject, namespace: str) -> PodPeers | AddressSet:
    """Absent is not empty: an empty `namespaceSelector` is all namespaces, an absent one the policy's own."""
    block, pods, namespaces = (peer.get(field) for field in ("ipBlock", "podSelector", "namespaceSelector"))
    try:
        if block is not None:
            return AddressSet.block(block["cidr"], block.get("except") or ())
        if pods is None and namespaces is None:
            return NOBODY
        return PodPeers(
            namespaces=namespace if namespaces is None else Selector.parse(namespaces),
            pods=EVERYTHING if pods is None else Selector.parse(pods),
        )
    except ValueError:
        return NOBODY


def _port(port: KubeObject) -> PortRange | PortName | None:
    try:
        protocol = Protocol(port.get("protocol") or "TCP")
    except ValueError:
        return None
    number = port.get("port")
    if number is None:
        return PortRange(protocol)
    if isinstance(number, str):
        return PortName(protocol, number)
    return PortRange(protocol, number, port.get("endPort") or number)
