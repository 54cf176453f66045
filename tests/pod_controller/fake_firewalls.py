"""The firewalls of all Pods: known at once and open, unless a test says otherwise."""

import asyncio
from collections.abc import Callable
from typing import Any

from provider.network_policy import Firewall

KubeObject = dict[str, Any]


class FakeFirewalls:
    """`kube.policy_watch.Firewalls`."""

    def __init__(self) -> None:
        self.known = True
        self.subscribed: dict[str, FakeSubscription] = {}

    def subscribe(self, pod: KubeObject, on_change: Callable[[], None]) -> "FakeSubscription":
        uid = pod["metadata"]["uid"]
        made = self.subscribed[uid] = FakeSubscription(self, uid, on_change)
        if self.known:
            asyncio.get_running_loop().call_soon(made.learn, Firewall())
        return made


class FakeSubscription:
    """`kube.policy_watch.FirewallSubscription`."""

    def __init__(self, firewalls: FakeFirewalls, uid: str, on_change: Callable[[], None]) -> None:
        self.value: Firewall | None = None
        self.known = asyncio.Event()
        self.seen: list[KubeObject] = []
        self._firewalls = firewalls
        self._uid = uid
        self._on_change = on_change

    def learn(self, firewall: Firewall) -> None:
        self.value = firewall
        self.known.set()
        self._on_change()

    def pod_seen(self, pod: KubeObject) -> None:
        self.seen.append(pod)

    def close(self) -> None:
        if self._firewalls.subscribed.get(self._uid) is self:
            del self._firewalls.subscribed[self._uid]
