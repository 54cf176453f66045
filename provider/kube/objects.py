"""ConfigMaps, Secrets and the like that Pods name: one watch for each object, shared by the Pods, ended with the last.

Listing and watching is `reflector`'s. Read as the virtual node itself (`system:node:…`): the Node authorizer lets it
see what its Pods name and nothing else, so a bug here cannot read more. It learns of a new Pod a moment after us: the
reflector asks again at once after its first refusals.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from provider.kube.client import KubeObject, as_node, path
from provider.kube.reflector import Reflector

_KINDS = {
    "ConfigMap": ("v1", "configmaps"),
    "Secret": ("v1", "secrets"),
    "RuntimeClass": ("node.k8s.io/v1", "runtimeclasses"),
}


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object; `namespace` is empty for kinds without."""

    kind: str
    namespace: str
    name: str


class WatchClient(Protocol):
    """What is needed of `KubeClient`."""

    async def request(
        self, method: str, url_path: str, *, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> KubeObject: ...

    def stream(
        self, url_path: str, *, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[KubeObject]: ...


@dataclass(frozen=True, slots=True)
class _AsNode:
    """`reflector.ListClient` in the name of a virtual node."""

    client: WatchClient
    headers: Mapping[str, str]

    async def request(self, method: str, url_path: str, *, query: Mapping[str, str]) -> KubeObject:
        return await self.client.request(method, url_path, query=query, headers=self.headers)

    def stream(self, url_path: str, *, query: Mapping[str, str]) -> AsyncIterator[KubeObject]:
        return self.client.stream(url_path, query=query, headers=self.headers)


@dataclass(slots=True)
class _Watched:
    """`reflector.Receiver` of one object."""

    known: asyncio.Event = field(default_factory=asyncio.Event)
    value: KubeObject | None = None
    listeners: list[Callable[[], None]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    def listed(self, all_there_are: list[KubeObject]) -> None:
        self._learn(all_there_are[0] if all_there_are else None)

    def seen(self, thing: KubeObject) -> None:
        self._learn(thing)

    def gone(self, thing: KubeObject) -> None:
        self._learn(None)

    def _learn(self, value: KubeObject | None) -> None:
        news = not self.known.is_set() or _version(value) != _version(self.value)
        self.value = value
        self.known.set()
        if news:
            for listener in list(self.listeners):
                listener()

    def end(self) -> None:
        if self.task is not None:
            self.task.cancel()


class Subscription:
    """One Pod's interest in one object."""

    def __init__(
        self, watches: "ObjectWatches", ref: ObjectRef, watched: _Watched, listener: Callable[[], None]
    ) -> None:
        self.ref = ref
        self._watches = watches
        self._watched = watched
        self._listener = listener

    @property
    def value(self) -> KubeObject | None:
        """The object as last seen; None: it does not exist, or nothing is known yet."""
        return self._watched.value

    @property
    def known(self) -> asyncio.Event:
        """Set as soon as it is known whether the object exists."""
        return self._watched.known

    def close(self) -> None:
        self._watches.unsubscribe(self.ref, self._listener)


class ObjectWatches:
    """The objects that the Pods of one virtual node name."""

    def __init__(self, client: WatchClient, node: str) -> None:
        self._client = _AsNode(client, as_node(node))
        self._watched: dict[ObjectRef, _Watched] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def subscribe(self, ref: ObjectRef, on_change: Callable[[], None]) -> Subscription:
        """Begin to watch an object if nobody does yet; `on_change` is called after every change."""
        watched = self._watched.get(ref)
        if watched is None:
            watched = self._watched[ref] = self._watch(ref)
        watched.listeners.append(on_change)
        return Subscription(self, ref, watched, on_change)

    def unsubscribe(self, ref: ObjectRef, on_change: Callable[[], None]) -> None:
        """End one interest; the last one ends the watch."""
        watched = self._watched.get(ref)
        if watched is None:
            return
        with contextlib.suppress(ValueError):
            watched.listeners.remove(on_change)
        if not watched.listeners:
            del self._watched[ref]
            watched.end()

    async def close(self) -> None:
        watched, self._watched = list(self._watched.values()), {}
        for each in watched:
            each.end()
        await asyncio.gather(*(each.task for each in watched if each.task), return_exceptions=True)

    def _watch(self, ref: ObjectRef) -> _Watched:
        api_version, plural = _KINDS[ref.kind]

        def keep(thing: KubeObject) -> KubeObject:
            """Items of a list carry neither kind nor apiVersion."""
            return {**thing, "kind": ref.kind, "apiVersion": api_version}

        watched, place = _Watched(), path(api_version, plural, namespace=ref.namespace)
        reflector = Reflector(self._client, place, keep, watched, {"fieldSelector": f"metadata.name={ref.name}"})
        watched.task = asyncio.create_task(reflector.run(), name=f"watch {ref.kind} {ref.namespace}/{ref.name}")
        return watched


def _version(thing: KubeObject | None) -> tuple[str, str] | None:
    return (thing["metadata"].get("uid", ""), thing["metadata"].get("resourceVersion", "")) if thing else None
