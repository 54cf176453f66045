"""The Pods and Namespaces that policies may name, indexed by namespace. Pure: it is told, and asks nobody.

What a set of peers comes to is worked out once and kept until a Pod or a Namespace changes it, however many policies
and however many Pods of ours share it. Filled by `kube.policy_watch`.
"""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from provider.network_policy.address_set import Address, AddressSet
from provider.network_policy.facts import PodFacts
from provider.network_policy.policies import PodPeers, PortName, having
from provider.network_policy.selectors import Selector

Labels = Mapping[str, str]


@dataclass(slots=True)
class Cluster:
    """Mutable. What changes something returns the peers, of those that were asked for, that are others now."""

    _namespaces: dict[str, Labels] = field(default_factory=dict)
    _pods: dict[str, dict[str, PodFacts]] = field(default_factory=dict)
    """By namespace and UID."""
    _known: dict[PodPeers, tuple[AddressSet, tuple[str, ...]]] = field(default_factory=dict)
    """With the namespaces that are meant."""
    _numbers: dict[PodPeers, dict[int, AddressSet]] = field(default_factory=dict)
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

    def addresses(self, peers: PodPeers) -> AddressSet:
        """Of all the Pods that are meant."""
        if peers not in self._known:
            found = AddressSet.of(address for addresses, _ in self._parts(peers) for address in addresses)
            places = tuple(self._places(peers))
            self._known[peers] = found, places
            for namespace in places:
                self._asked.setdefault(namespace, set()).add(peers)
        return self._known[peers][0]

    def numbers(self, port: PortName) -> Mapping[int, AddressSet]:
        """The numbers that Pods of the cluster have for a port's name, and the addresses of those Pods."""
        peers = having(port)
        self.addresses(peers)  # from now on a change is told
        if peers not in self._numbers:
            found: dict[int, list[Address]] = {}
            for addresses, numbers in self._parts(peers):
                for number in numbers:
                    found.setdefault(number, []).extend(addresses)
            self._numbers[peers] = {number: AddressSet.of(addresses) for number, addresses in found.items()}
        return self._numbers[peers]

    def retain(self, wanted: Container[PodPeers]) -> None:
        """Forget what nobody asks for any more."""
        self._drop({peers for peers in self._known if peers not in wanted})

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
            return labels is not None and isinstance(peers.namespaces, Selector) and peers.namespaces.selects(labels)

        return self._drop({peers for peers in self._known if includes(peers, old) != includes(peers, new)})

    def _drop(self, changed: set[PodPeers]) -> set[PodPeers]:
        for peers in changed:
            _, places = self._known.pop(peers)
            self._numbers.pop(peers, None)
            for namespace in places:
                self._asked[namespace].discard(peers)
                if not self._asked[namespace]:
                    del self._asked[namespace]
        return changed
