"""The Services of the cluster as guests get them: one table for all guests, and for each what it has not been told yet.

Objects are kept encoded, so that a guest more costs no encoding, and a change that concerns no guest is seen as none.
A subscriber that is busy has a set of keys, not a queue: however often an object changes meanwhile, it is sent once, as
it is then. What of an object travels, and which objects (`Scope`), is said in `service_feed`.
"""

import asyncio
from collections.abc import Iterator, Mapping

from provider import service_feed
from provider.service_feed import Key, Scope

_FRAME = 64 << 10
"""Bytes of objects in one frame: a whole cluster's at once, for a thousand guests, would lie in memory a thousand
times."""


class RouteTable:
    """All objects; `wanted` is set for a kind by the first subscriber to it, for whoever fills it."""

    def __init__(self) -> None:
        self.wanted = {kind.name: asyncio.Event() for kind in service_feed.KINDS}
        self._values: dict[Key, bytes] = {}
        self._known = {kind.name: asyncio.Event() for kind in service_feed.KINDS}
        self._subscriptions: set[RouteSubscription] = set()

    def __len__(self) -> int:
        return len(self._values)

    def replace(self, kind: str, values: Mapping[Key, bytes]) -> None:
        """The objects of a kind, all of them."""
        for key in [key for key in self._values if key.kind == kind and key not in values]:
            self.change(key, None)
        for key, value in values.items():
            self.change(key, value)
        self._known[kind].set()

    def change(self, key: Key, value: bytes | None) -> None:
        """One object; None: it is gone."""
        if self._values.get(key) == value:
            return
        if value is None:
            del self._values[key]
        else:
            self._values[key] = value
        for subscription in self._subscriptions:
            subscription.changed(key)

    def subscribe(self, scope: Scope) -> "RouteSubscription":
        """For one connection; give it back with `close`."""
        subscription = RouteSubscription(self, scope)
        self._subscriptions.add(subscription)
        for kind in scope.kinds:
            self.wanted[kind].set()
        return subscription

    def unsubscribe(self, subscription: "RouteSubscription") -> None:
        self._subscriptions.discard(subscription)

    async def known(self, scope: Scope) -> None:
        """Returns when all its kinds have been listed: guests must not take less for all."""
        for kind in scope.kinds:
            await self._known[kind].wait()

    def keys(self, scope: Scope) -> list[Key]:
        return [key for key in self._values if key in scope]

    def get(self, key: Key) -> bytes | None:
        return self._values.get(key)


class RouteSubscription:
    """What one connection has not been told yet."""

    def __init__(self, table: RouteTable, scope: Scope) -> None:
        self._table = table
        self._scope = scope
        self._pending: dict[Key, None] = {}
        self._news = asyncio.Event()

    def changed(self, key: Key) -> None:
        if key in self._scope:
            self._pending[key] = None
            self._news.set()

    def close(self) -> None:
        self._table.unsubscribe(self)

    async def all(self) -> Iterator[bytes]:
        """Frames with everything, when everything is known; each is made when it is asked for."""
        await self._table.known(self._scope)
        self._pending.clear()
        self._news.clear()
        return self._frames(self._table.keys(self._scope), full=True)

    async def news(self) -> Iterator[bytes]:
        """Frames with what has changed since, as soon as something has."""
        await self._news.wait()
        keys = list(self._pending)
        self._pending.clear()
        self._news.clear()
        return self._frames(keys, full=False)

    def _frames(self, keys: list[Key], *, full: bool) -> Iterator[bytes]:
        applied: list[bytes] = []
        removed: list[bytes] = []
        size, first = 0, full
        for key in keys:
            value = self._table.get(key)
            if value is not None:
                applied.append(value)
            elif not full:  # else it went since the first frame, which is news
                removed.append(service_feed.encoded(service_feed.reference(key)))
            size += len(value or b"")
            if size >= _FRAME:
                yield _frame(applied, removed, first=first, last=False)
                applied, removed, size, first = [], [], 0, False
        if applied or removed or full:
            yield _frame(applied, removed, first=first, last=full)


def _frame(applied: list[bytes], removed: list[bytes], *, first: bool, last: bool) -> bytes:
    ends = (b',"first":true' if first else b"") + (b',"last":true' if last else b"")
    return b'{"type":"routes","apply":[%s],"remove":[%s]%s}' % (b",".join(applied), b",".join(removed), ends)
