"""The firewalls of all Pods of this process, kept up to date: one watch for each kind, whatever the number of nodes.

NetworkPolicies are watched while there is a Pod of ours. The Pods and the Namespaces of the cluster, which may be very
many, are watched only while a policy that selects a Pod of ours names some of them: a cluster without policies, or with
nothing but default denials, costs one idle watch. Read in the operator's own name; what policies mean is
`network_policy`, who sends a firewall to its guest is the subscriber's business.

A firewall is not known before all that it depends on has been listed. Who starts a Pod waits for that, since "isolated"
must be true from a Pod's first packet; later changes arrive when they arrive.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from provider.kube.client import KubeObject, path
from provider.kube.reflector import ListClient
from provider.kube.watched_kind import WatchedKind
from provider.network_policy import (
    Cluster,
    Firewall,
    PodFacts,
    Policy,
    Subjects,
    firewall_of,
    parse_policy,
    pod_facts,
)

_GAP = 0.2
"""Seconds between two rounds: of many changes at once each guest hears once. The first is not kept waiting."""
_POLICIES = path("networking.k8s.io/v1", "networkpolicies")
_PODS = path("v1", "pods")
_NAMESPACES = path("v1", "namespaces")
_NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"

Labels = dict[str, str]


class FirewallSubscription(Protocol):
    """One Pod's firewall."""

    @property
    def value(self) -> Firewall | None:
        """None: not known yet."""

    @property
    def known(self) -> asyncio.Event:
        """Set as soon as there is a value."""

    def pod_seen(self, pod: KubeObject) -> None:
        """The Pod has changed: perhaps its labels."""

    def close(self) -> None:
        """Idempotent."""


class Firewalls(Protocol):
    """What a Pod's worker needs; `PolicyWatch` is it."""

    def subscribe(self, pod: KubeObject, on_change: Callable[[], None]) -> FirewallSubscription:
        """`on_change` is called when the firewall is first known, and after every change of it."""


@dataclass(slots=True)
class Subscription:
    """`FirewallSubscription`."""

    _watch: "PolicyWatch"
    uid: str
    on_change: Callable[[], None]
    known: asyncio.Event = field(default_factory=asyncio.Event)
    value: Firewall | None = None

    def pod_seen(self, pod: KubeObject) -> None:
        self._watch.pod_seen(self, pod)

    def close(self) -> None:
        self._watch.unsubscribe(self)

    def learn(self, firewall: Firewall) -> None:
        """Tell the subscriber if it is news."""
        if firewall != self.value:
            self.value = firewall
            self.known.set()
            self.on_change()


class PolicyWatch:
    """One for a process."""

    def __init__(self, client: ListClient) -> None:
        self._subscriptions: dict[str, Subscription] = {}
        self._subjects = Subjects()
        self._cluster = Cluster()
        self._dirty: set[str] = set()
        self._round: asyncio.TimerHandle | None = None
        self._last_round = float("-inf")
        self._policies = WatchedKind[Policy](
            client=client,
            url_path=_POLICIES,
            keep=parse_policy,
            key=lambda policy: (policy.namespace, policy.name),
            add=self._subjects.policy_seen,
            drop=lambda key: self._subjects.policy_gone(*key),
            changed=self._policies_changed,
        )
        self._pods = WatchedKind[PodFacts](
            client=client,
            url_path=_PODS,
            field_selector=_NOT_ENDED,
            keep=pod_facts,
            key=lambda pod: (pod.namespace, pod.uid),
            add=lambda pod: self._subjects.concerned(self._cluster.pod_seen(pod)),
            drop=lambda key: self._subjects.concerned(self._cluster.pod_gone(*key)),
            changed=self._changed,
        )
        self._namespaces = WatchedKind[tuple[str, Labels]](
            client=client,
            url_path=_NAMESPACES,
            keep=_name_and_labels,
            key=lambda namespace: ("", namespace[0]),
            add=lambda namespace: self._subjects.concerned(self._cluster.namespace_seen(*namespace)),
            drop=lambda key: self._subjects.concerned(self._cluster.namespace_gone(key[1])),
            changed=self._changed,
        )

    def subscribe(self, pod: KubeObject, on_change: Callable[[], None]) -> Subscription:
        """A second subscription for the same UID replaces the first."""
        facts = pod_facts(pod)
        subscription = self._subscriptions[facts.uid] = Subscription(self, facts.uid, on_change)
        self._subjects.pod_seen(facts)
        self._watch_what_is_needed()
        self._mark({facts.uid})
        return subscription

    def pod_seen(self, subscription: Subscription, pod: KubeObject) -> None:
        """A Pod of ours may have changed; mostly not in what policies need to know."""
        if self._subscriptions.get(subscription.uid) is not subscription:
            return
        if uids := self._subjects.pod_seen(pod_facts(pod)):
            self._watch_what_is_needed()
            self._mark(uids)

    def unsubscribe(self, subscription: Subscription) -> None:
        """The last one ends the watches."""
        if self._subscriptions.get(subscription.uid) is subscription:
            del self._subscriptions[subscription.uid]
            self._subjects.pod_gone(subscription.uid)
            self._watch_what_is_needed()

    async def close(self) -> None:
        """End everything."""
        for subscription in list(self._subscriptions.values()):
            subscription.close()
        if self._round is not None:
            self._round.cancel()
            self._round = None
        await asyncio.gather(self._policies.ended(), self._pods.ended(), self._namespaces.ended())

    def _policies_changed(self, uids: set[str], *, first: bool) -> None:
        self._watch_what_is_needed()
        self._changed(uids, first=first)

    def _changed(self, uids: set[str], *, first: bool) -> None:
        """A kind's news. What is listed for the first time may be what any Pod waited for."""
        self._mark(set(self._subscriptions) if first else uids)

    def _mark(self, uids: Iterable[str]) -> None:
        """These firewalls have to be worked out anew."""
        self._dirty.update(uids)
        if self._dirty and self._round is None:
            loop = asyncio.get_running_loop()
            self._round = loop.call_at(max(loop.time(), self._last_round + _GAP), self._work)

    def _watch_what_is_needed(self) -> None:
        named = self._subjects.named()
        self._policies.keep_watched(bool(self._subscriptions))
        self._pods.keep_watched(bool(named))
        self._namespaces.keep_watched(any(peers.by_labels for peers in named))

    def _work(self) -> None:
        """One round: all that is dirty. Pods that the same policies select share a firewall."""
        self._round, self._last_round = None, asyncio.get_running_loop().time()
        dirty, self._dirty = self._dirty, set()
        self._cluster.retain(self._subjects.named())
        made: dict[object, Firewall] = {}
        for uid in dirty & self._subscriptions.keys():
            policies, ports = self._subjects.policies_of(uid), self._subjects.pod(uid).ports
            if not self._is_known(policies):
                continue  # it is marked again when the kind that is missing has been listed
            same = (tuple((policy.namespace, policy.name) for policy in policies), ports)
            if same not in made:
                made[same] = firewall_of(ports, policies, self._cluster)
            self._subscriptions[uid].learn(made[same])

    def _is_known(self, policies: Iterable[Policy]) -> bool:
        named = [peers for policy in policies for peers in policy.pod_peers()]
        return (
            self._policies.known
            and (self._pods.known or not named)
            and (self._namespaces.known or not any(peers.by_labels for peers in named))
        )


def _name_and_labels(namespace: KubeObject) -> tuple[str, Labels]:
    meta = namespace["metadata"]
    return meta["name"], meta.get("labels") or {}
