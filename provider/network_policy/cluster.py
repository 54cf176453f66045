"""The Pods and Namespaces that policies may name, indexed by namespace. Pure: it is told, and asks nobody.

What a set of peers comes to is worked out once and kept until a Pod or a Namespace changes it, however many policies
and however many Pods of ours share it. Filled by `kube.policy_watch`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from provider.network_policy.address_set import Address, AddressSet
from provider.network_policy.facts import PodFacts
from provider.network_policy.policies import PodPeers, PortName, having

Labels = Mapping[str, str]


@dataclass(slots=True)
class Cluster:
    """Mutable. What changes something returns the peers, of those that were asked for, that are others now."""

    _namespaces: dict[str, Labels] = field(default_factory=dict)
    _pods: dict[str, dict[str, PodFacts]] = field(default_factory=dict)
    """By namespace and UID."""
    _known: dict[PodPeers, AddressSet] = field(default_factory=dict)
    _asked: dict[str, set[PodPeers]] = field(default_factory=dict)
    """The keys of `_known` that a namespace is part of."""

    def pod_seen(self, pod: PodFacts) -> set[PodPeers]:
        """A Pod is new or has changed."""
        pods = self._pods.setdefault(pod.namespace, {})
        old = pods.get(pod.uid)
        pods[pod.uid] = pod
        return set() if old == pod else self._replaced(pod.namespace, old, pod)

    def pod_gone(self, namespace: str, uid: str) -> set[PodPeers]:
        """Idempotent."""
        old = self._pods.get(namespace, {}).pop(uid, None)
        if not self._pods.get(namespace):
            self._pods.pop(namespace, None)
        return self._replaced(namespace, old, None)

    def namespace_seen(self, name: str, labels: Labels) -> set[PodPeers]:
        """A Namespace is new or has changed."""
        old = self._namespaces.get(name)
        self._namespaces[name] = labels
        return set() if old == labels else self._relabelled(old, labels)

    def namespace_gone(self, name: str) -> set[PodPeers]:
        """Idempotent."""
        old = self._namespaces.pop(name, None)
        return self._relabelled(old, None)

    def pods(self) -> list[tuple[str, str]]:
        """Namespace and UID of each."""
        return [(namespace, uid) for namespace, pods in self._pods.items() for uid in pods]

    def namespaces(self) -> list[str]:
        return list(self._namespaces)

    def addresses(self, peers: PodPeers) -> AddressSet:
        """Of all the Pods that are meant."""
        known = self._known.get(peers)
        if known is None:
            known = AddressSet.of(address for addresses, _ in self._parts(peers) for address in addresses)
            self._known[peers] = known
            for namespace in self._places(peers):
                self._asked.setdefault(namespace, set()).add(peers)
        return known

    def numbers(self, port: PortName) -> dict[int, AddressSet]:
        """The numbers that Pods of the cluster have for a port's name, and the addresses of those Pods."""
        self.addresses(having(port))  # from now on a change is told
        found: dict[int, list[Address]] = {}
        for addresses, numbers in self._parts(having(port)):
            for number in numbers:
                found.setdefault(number, []).extend(addresses)
        return {number: AddressSet.of(addresses) for number, addresses in found.items()}

    def retain(self, wanted: set[PodPeers]) -> None:
        """Forget what nobody asks for any more."""
        self._drop(self._known.keys() - wanted)

    def _parts(self, peers: PodPeers) -> Iterator[tuple[tuple[Address, ...], frozenset[int]]]:
        for namespace in self._places(peers):
            yield from (peers.part(pod) for pod in self._pods.get(namespace, {}).values())

    def _places(self, peers: PodPeers) -> Iterator[str]:
        if isinstance(peers.namespaces, str):
            yield peers.namespaces
            return
        for name, labels in self._namespaces.items():
            if peers.namespaces.selects(labels):
                yield name

    def _replaced(self, namespace: str, old: PodFacts | None, new: PodFacts | None) -> set[PodPeers]:
        asked = self._asked.get(namespace, ())
        return self._drop({peers for peers in asked if peers.part(old) != peers.part(new)})

    def _relabelled(self, old: Labels | None, new: Labels | None) -> set[PodPeers]:
        def includes(peers: PodPeers, labels: Labels | None) -> bool:
            return labels is not None and not isinstance(peers.namespaces, str) and peers.namespaces.selects(labels)

        return self._drop({peers for peers in self._known if includes(peers, old) != includes(peers, new)})

    def _drop(self, changed: set[PodPeers]) -> set[PodPeers]:
        for peers in changed:
            del self._known[peers]
        for namespace, asked in list(self._asked.items()) if changed else ():
            asked -= changed
            if not asked:
                del self._asked[namespace]
        return changed
