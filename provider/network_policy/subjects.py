"""Which Pods of ours are selected by which policies, and which peers those name: so, whom a change concerns. Pure.

Kept both ways and by namespace, since most changes in a cluster concern no Pod of ours. The peers themselves are in
`cluster`, and only policies that select a Pod of ours count among those that name peers.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from provider.network_policy.facts import PodFacts
from provider.network_policy.policies import PodPeers, Policy


@dataclass(slots=True)
class Subjects:
    """Mutable. What changes something returns the UIDs of the Pods whose firewall may be another now."""

    _pods: dict[str, PodFacts] = field(default_factory=dict)
    _uids: dict[str, set[str]] = field(default_factory=dict)
    """Of the Pods of a namespace."""
    _policies: dict[str, dict[str, Policy]] = field(default_factory=dict)
    """By namespace and name."""
    _selected: dict[Policy, set[str]] = field(default_factory=dict)
    """Policies that select somebody, and whom."""
    _naming: dict[PodPeers, set[Policy]] = field(default_factory=dict)
    """Peers that these name."""

    def pod_seen(self, pod: PodFacts) -> set[str]:
        """A Pod of ours is new or has changed."""
        old = self._pods.get(pod.uid)
        if old is not None and (old.labels, old.ports) == (pod.labels, pod.ports):
            return set()
        self.pod_gone(pod.uid)
        self._pods[pod.uid] = pod
        self._uids.setdefault(pod.namespace, set()).add(pod.uid)
        for policy in self.policies_of(pod.uid):
            self._select(policy, {pod.uid})
        return {pod.uid}

    def pod_gone(self, uid: str) -> None:
        """Idempotent."""
        pod = self._pods.get(uid)
        if pod is None:
            return
        for policy in self.policies_of(uid):
            self._unselect(policy, {uid})
        del self._pods[uid]
        self._uids[pod.namespace].discard(uid)
        if not self._uids[pod.namespace]:
            del self._uids[pod.namespace]

    def policy_seen(self, policy: Policy) -> set[str]:
        """A policy is new or has changed."""
        if self._policies.get(policy.namespace, {}).get(policy.name) == policy:
            return set()
        before = self.policy_gone(policy.namespace, policy.name)
        self._policies.setdefault(policy.namespace, {})[policy.name] = policy
        uids = self._uids.get(policy.namespace, ())
        selected = {uid for uid in uids if policy.subject.selects(self._pods[uid].labels)}
        self._select(policy, selected)
        return before | selected

    def policy_gone(self, namespace: str, name: str) -> set[str]:
        """Idempotent."""
        policies = self._policies.get(namespace, {})
        policy = policies.pop(name, None)
        if not policies:
            self._policies.pop(namespace, None)
        selected = self._selected.get(policy, set()) if policy else set()
        return self._unselect(policy, set(selected)) if policy else set()

    def pod(self, uid: str) -> PodFacts:
        """One of ours."""
        return self._pods[uid]

    def policies_of(self, uid: str) -> tuple[Policy, ...]:
        """Those that select a Pod of ours, in an order that does not depend on the Pod."""
        pod = self._pods[uid]
        policies = self._policies.get(pod.namespace, {})
        return tuple(policies[name] for name in sorted(policies) if policies[name].subject.selects(pod.labels))

    def named(self) -> Collection[PodPeers]:
        """Peers whose addresses matter to some Pod of ours."""
        return self._naming.keys()

    def concerned(self, peers: Iterable[PodPeers]) -> set[str]:
        """The Pods of ours to which some of these peers matter."""
        policies = {policy for each in peers for policy in self._naming.get(each, ())}
        return {uid for policy in policies for uid in self._selected[policy]}

    def _select(self, policy: Policy, uids: set[str]) -> None:
        if not uids:
            return
        self._selected.setdefault(policy, set()).update(uids)
        for peers in policy.pod_peers():
            self._naming.setdefault(peers, set()).add(policy)

    def _unselect(self, policy: Policy, uids: set[str]) -> set[str]:
        selected = self._selected.get(policy, set())
        selected -= uids
        if not selected:
            self._selected.pop(policy, None)
            for peers in policy.pod_peers():
                naming = self._naming.get(peers, set())
                naming.discard(policy)
                if not naming:
                    self._naming.pop(peers, None)
        return uids
