"""The objects of one pod, and the watches on them.

Resource versions are the API server's own where the objects carry them; a watch can be resumed only from the newest
one, anything else is *expired* and makes the reflector list again. There is no history: with one pod, listing is cheap.

Not a cache with policy: what comes in is decided by `pod_objects`, what survives a restart by `state`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from . import resources
from .resources import Resource
from .selectors import Selector

Object = dict[str, Any]

_BACKLOG = 1000
"""Events that a watcher may be behind before it is cut off and has to list again."""


class Expired(Exception):
    """The watch cannot be resumed from that resource version (HTTP 410)."""


class Watcher:
    """One open watch: an asynchronous iterator of (event type, object) that ends when the watch is closed."""

    def __init__(self, selector: Selector, backlog: int) -> None:
        self._selector = selector
        self._backlog = backlog
        self._queue: asyncio.Queue[tuple[str, Object] | None] = asyncio.Queue()
        self._closed = False

    def offer(self, kind: str, value: Object) -> None:
        """Queue an event if it is for this watcher."""
        if self._closed or not self._selector(value):
            return
        if self._queue.qsize() >= self._backlog:
            self.close()
            return
        self._queue.put_nowait((kind, value))

    def close(self) -> None:
        """End the watch after what is queued."""
        if not self._closed:
            self._closed = True
            self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[tuple[str, Object]]:
        while (event := await self._queue.get()) is not None:
            yield event


@dataclass(slots=True)
class _Collection:
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    version: str = "1"
    """Resource version of the last event."""
    resumable: bool = True
    """Whether a watcher that saw `version` has seen everything (not so after a removal, which has no version)."""
    watchers: set[Watcher] = field(default_factory=set)
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)


class Store:
    """All objects that one client can see. Objects handed out must not be changed."""

    def __init__(self, backlog: int = _BACKLOG) -> None:
        self._backlog = backlog
        self._collections = {resource: _Collection() for resource in resources.ALL}

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """One object."""
        return self._collections[resource].objects.get((namespace, name))

    def select(self, resource: Resource, selector: Selector) -> list[Object]:
        """The objects that match."""
        return [value for value in self._collections[resource].objects.values() if selector(value)]

    def all(self, resource: Resource) -> tuple[Object, ...]:
        """Every object of a kind."""
        return tuple(self._collections[resource].objects.values())

    def version(self, resource: Resource) -> str:
        """The resource version of a list made now."""
        return self._collections[resource].version

    def put(self, resource: Resource, value: Object) -> Object:
        """Add or replace; an object without a resource version gets one if it is another. What was stored."""
        collection = self._collections[resource]
        key = resources.key_of(value)
        old = collection.objects.get(key)
        if not value["metadata"].get("resourceVersion"):
            if old is not None and _versioned(value, old["metadata"]["resourceVersion"]) == old:
                return old
            value = _versioned(value, _after(collection.version))
        if old == value:
            return value
        collection.objects[key] = value
        collection.version = value["metadata"]["resourceVersion"]
        collection.resumable = True
        self._publish(collection, "ADDED" if old is None else "MODIFIED", value)
        return value

    def remove(self, resource: Resource, namespace: str, name: str) -> bool:
        """Take an object away; whether it was there."""
        collection = self._collections[resource]
        old = collection.objects.pop((namespace, name), None)
        if old is None:
            return False
        collection.resumable = False
        self._publish(collection, "DELETED", old)
        return True

    def restore(self, resource: Resource, values: Iterable[Object]) -> None:
        """Fill from the time before a restart: nobody watches yet, and no old watch can be resumed."""
        collection = self._collections[resource]
        for value in values:
            self.put(resource, value)
        collection.resumable = False

    def watch(self, resource: Resource, selector: Selector, since: str | None) -> tuple[Watcher, list[Object]]:
        """Open a watch: from now with all objects (`since` None), or resumed. Give it back with `unwatch`.

        Raises Expired when something may have happened after `since`.
        """
        collection = self._collections[resource]
        if since is None:
            initial = self.select(resource, selector)
        elif collection.resumable and since == collection.version:
            initial = []
        else:
            raise Expired(f"too old resource version: {since} ({collection.version})")
        watcher = Watcher(selector, self._backlog)
        collection.watchers.add(watcher)
        collection.caught_up.set()
        return watcher, initial

    def unwatch(self, resource: Resource, watcher: Watcher) -> None:
        """The watch's reader is gone."""
        self._collections[resource].watchers.discard(watcher)

    def watched(self, resource: Resource) -> bool:
        """Whether the kubelet has an open watch on the kind."""
        return bool(self._collections[resource].watchers)

    async def settle(self, resource: Resource, within: float) -> bool:
        """Wait until the kubelet has taken in all events of the kind sent so far; whether it has.

        The watches are ended in order: a reflector asks again, from the last event it has handled, only when it has
        handled them all. Without a watch there is nothing to wait for: who lists later, lists the new state.
        """
        collection = self._collections[resource]
        if not collection.watchers:
            return True
        collection.caught_up.clear()
        for watcher in collection.watchers:
            watcher.close()
        try:
            async with asyncio.timeout(within):
                await collection.caught_up.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """End every watch."""
        for collection in self._collections.values():
            for watcher in collection.watchers:
                watcher.close()

    @staticmethod
    def _publish(collection: _Collection, kind: str, value: Object) -> None:
        for watcher in tuple(collection.watchers):
            watcher.offer(kind, value)


def _versioned(value: Object, version: str) -> Object:
    return {**value, "metadata": {**value["metadata"], "resourceVersion": version}}


def _after(version: str) -> str:
    return str(int(version) + 1) if version.isdecimal() else "1"
