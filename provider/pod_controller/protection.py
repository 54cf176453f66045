"""One Pod's firewall as its worker follows it: subscribed from before the VM exists until the worker ends.

A Pod is fed only when its firewall is known, however long that takes, since "isolated" has to be true from the first
packet; a Pod that runs keeps what it has meanwhile. How a firewall is found is `kube.policy_watch`'s business.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from provider.kube.events import EventRecorder
from provider.kube.policy_watch import Firewalls, FirewallSubscription
from provider.network_policy import firewall_object

KubeObject = dict[str, Any]

_UNKNOWN_FOR = 10.0
"""Seconds after which the Pod's owner is told what the Pod waits for."""


class Protection:
    """`on_change` is called when the firewall is first known, and after every change of it."""

    def __init__(self, uid: str, firewalls: Firewalls, events: EventRecorder, on_change: Callable[[], None]) -> None:
        self._uid = uid
        self._firewalls = firewalls
        self._events = events
        self._on_change = on_change
        self._subscription: FirewallSubscription | None = None
        self._complaint: asyncio.TimerHandle | None = None

    def follow(self, pod: KubeObject) -> None:
        """Begin, unless that is so."""
        if self._subscription is None:
            self._subscription = self._firewalls.subscribe(pod, self._on_change)
            self._complaint = asyncio.get_running_loop().call_later(_UNKNOWN_FOR, self._complain, pod)

    def pod_seen(self, pod: KubeObject) -> None:
        """The Pod has changed; nothing happens before `follow`."""
        if self._subscription is not None:
            self._subscription.pod_seen(pod)

    def firewall(self) -> KubeObject | None:
        """What is fed; None: not known yet."""
        value = self._subscription.value if self._subscription else None
        return firewall_object(self._uid, value) if value is not None else None

    def close(self) -> None:
        """Idempotent; `follow` begins again."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            subscription.close()
        if self._complaint is not None:
            self._complaint.cancel()

    def _complain(self, pod: KubeObject) -> None:
        if self.firewall() is None:
            self._events.warning(pod, "NetworkPoliciesUnknown", "The Pod waits until its NetworkPolicies can be read")
