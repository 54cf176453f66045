"""One guest, kept fed: the objects that its Pod names are followed, and the link is given the complete set each time.

The objects are followed from before the VM exists (`References.follow`), so that fetching them costs a Pod's start
nothing; so is the Pod's firewall (`protection`). Not the connection (`guest.link`), not what is fed (`feed`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog

from provider import cancellation, feed
from provider.errors import GuestRefused
from provider.guest.link import LinkState
from provider.kube.objects import ObjectRef, Subscription
from provider.lifecycle import Link
from provider.pod_controller.protection import Protection
from provider.pod_controller.surroundings import RelayHandler, Surroundings
from provider.podvm import PodVM, PodVMClass

KubeObject = dict[str, Any]

_REFERENCES_WITHIN = 5.0
"""Seconds that the first feed waits for objects nobody could read yet. The kubelet asks again for what is missing, but
its first repeat comes late: waiting a little is faster."""


class References:
    """The objects that one Pod names, each watched as long as the Pod names it."""

    def __init__(self, surroundings: Surroundings, on_change: Callable[[], None]) -> None:
        self._watches = surroundings.objects
        self._on_change = on_change
        self._subscriptions: dict[ObjectRef, Subscription] = {}

    def follow(self, pod: KubeObject) -> None:
        """Begin to watch what the Pod names now, end what it does not name any more."""
        wanted = set(_references(pod))
        for ref in wanted - self._subscriptions.keys():
            self._subscriptions[ref] = self._watches.subscribe(ref, self._on_change)
        for ref in self._subscriptions.keys() - wanted:
            self._subscriptions.pop(ref).close()

    async def known(self) -> None:
        """Returns when it is known of each object whether it exists, or when that takes too long."""
        waits = [subscription.known.wait() for subscription in self._subscriptions.values()]
        try:
            async with asyncio.timeout(_REFERENCES_WITHIN):
                await asyncio.gather(*waits)
        except TimeoutError:
            return

    def found(self) -> list[KubeObject]:
        """Those that exist."""
        return [each.value for each in self._subscriptions.values() if each.value is not None]

    def close(self) -> None:
        for subscription in self._subscriptions.values():
            subscription.close()
        self._subscriptions.clear()


class Guest:
    """The connection to one VM's guest. `run` it as a task; `refresh` after every change of the Pod."""

    def __init__(
        self,
        surroundings: Surroundings,
        vm: PodVM,
        references: References,
        protection: Protection,
        current_pod: Callable[[], KubeObject | None],
        relay: RelayHandler,
        on_change: Callable[[], None],
    ) -> None:
        self.vm = vm
        self.link = Link.CONNECTING
        self._surroundings = surroundings
        self._references = references
        self._protection = protection
        self._current_pod = current_pod
        self._on_change = on_change
        self._changed = asyncio.Event()
        self._link = surroundings.link(vm, relay, self._link_changed)

    def refresh(self) -> None:
        """The Pod or an object that it names changed."""
        self._changed.set()

    async def run(self, before_feeding: Awaitable[None] | None = None) -> None:
        """Until cancelled, or until the guest refuses for good (`link` says so)."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._link.run())
                group.create_task(self._keep_fed(before_feeding))
                group.create_task(self._complain())
                await cancellation.forever()
        except* GuestRefused as refusals:
            cancellation.heed()
            structlog.get_logger(pod=_key(self.vm), uid=self.vm.identity.uid, vm=self.vm.name).warning(
                "guest refuses to serve", error=str(refusals.exceptions[0])
            )
            self._link_changed(LinkState.REFUSED)

    async def _keep_fed(self, before_feeding: Awaitable[None] | None) -> None:
        if before_feeding is not None:
            await before_feeding
        await self._references.known()
        while True:
            self._changed.clear()
            pod = self._current_pod()
            if pod is not None:
                self._references.follow(pod)
                self._protection.follow(pod)
                if (firewall := self._protection.firewall()) is not None:  # its being known is a change
                    self._link.feed(self._objects(pod, firewall))
            await self._changed.wait()

    async def _complain(self) -> None:
        await self._link.starved()
        pod = self._current_pod()
        if pod is not None:
            self._surroundings.events.warning(pod, "ServicesUnknown", "The Pod waits until Services can be listed")

    def _objects(self, pod: KubeObject, firewall: KubeObject) -> list[KubeObject]:
        here = self._surroundings
        node = feed.guest_node(here.node, here.node_labels, self._size(), here.node_address)
        return list(feed.guest_objects(pod, node, firewall, self._references.found()))

    def _size(self) -> PodVMClass:
        """A class that is gone leaves VMs whose size nobody knows; they were admitted when it was known."""
        return self._surroundings.parents.size(self.vm) or PodVMClass(cpu_millis=1_000_000, memory_bytes=2**50)

    def _link_changed(self, state: LinkState) -> None:
        self.link = Link(state.value)
        self._on_change()


def _references(pod: KubeObject) -> Iterable[ObjectRef]:
    namespace = pod["metadata"]["namespace"]
    wanted = feed.references(pod)
    yield from (ObjectRef("ConfigMap", namespace, name) for name in wanted.config_maps if name)
    yield from (ObjectRef("Secret", namespace, name) for name in wanted.secrets if name)
    if wanted.runtime_class:
        yield ObjectRef("RuntimeClass", "", wanted.runtime_class)


def _key(vm: PodVM) -> str:
    return f"{vm.identity.namespace}/{vm.identity.name}"
