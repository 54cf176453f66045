"""ConfigMaps, Secrets and the like that Pods name: one watch for each object, shared by the Pods, ended with the last.

Read as the virtual node itself (`system:node:…`): the Node authorizer lets it see what its Pods name and nothing else,
so a bug here cannot read more. It learns of a new Pod a moment after us: the first refusals are asked again at once.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from provider import errors
from provider.kube.client import KubeObject, as_node, path

log = structlog.get_logger(__name__)

_KINDS = {
    "ConfigMap": ("v1", "configmaps"),
    "Secret": ("v1", "secrets"),
    "RuntimeClass": ("node.k8s.io/v1", "runtimeclasses"),
}
_FIRST_DELAY, _LAST_DELAY = 0.05, 30.0
_WATCH_SECONDS = (300, 600)  # spread, so that watches do not all end at once


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


@dataclass(slots=True)
class _Watched:
    task: asyncio.Task[None]
    known: asyncio.Event = field(default_factory=asyncio.Event)
    value: KubeObject | None = None
    listeners: list[Callable[[], None]] = field(default_factory=list)


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
        self._client = client
        self._headers = as_node(node)
        self._watched: dict[ObjectRef, _Watched] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def subscribe(self, ref: ObjectRef, on_change: Callable[[], None]) -> Subscription:
        """Begin to watch an object if nobody does yet; `on_change` is called after every change."""
        watched = self._watched.get(ref)
        if watched is None:
            task = asyncio.create_task(self._run(ref), name=f"watch {ref.kind} {ref.namespace}/{ref.name}")
            watched = self._watched[ref] = _Watched(task)
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
            watched.task.cancel()

    async def close(self) -> None:
        watched, self._watched = list(self._watched.values()), {}
        for each in watched:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in watched), return_exceptions=True)

    async def _run(self, ref: ObjectRef) -> None:
        delay = _FIRST_DELAY
        while True:
            try:
                version = await self._list(ref)
                delay = _FIRST_DELAY
                while version:
                    version = await self._watch(ref, version)
            except errors.KubeError as error:
                level = log.debug if delay < 1 else log.warning
                level("object cannot be watched", object=f"{ref.kind} {ref.namespace}/{ref.name}", error=str(error))
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
                delay = min(delay * 2, _LAST_DELAY)

    async def _list(self, ref: ObjectRef) -> str:
        query = {"fieldSelector": f"metadata.name={ref.name}"}
        found = await self._client.request("GET", _path(ref), query=query, headers=self._headers)
        items = found.get("items") or ()
        self._learn(ref, _complete(ref, items[0]) if items else None)
        return str(found["metadata"]["resourceVersion"])

    async def _watch(self, ref: ObjectRef, version: str) -> str:
        """The version to go on from when the server ended the stream; empty: the version is too old, list again."""
        query = {
            "fieldSelector": f"metadata.name={ref.name}",
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311
        }
        async for event in self._client.stream(_path(ref), query=query, headers=self._headers):
            thing = event.get("object") or {}
            match event.get("type"):
                case "ADDED" | "MODIFIED":
                    self._learn(ref, _complete(ref, thing))
                case "DELETED":
                    self._learn(ref, None)
                case "ERROR":
                    return ""
            version = (thing.get("metadata") or {}).get("resourceVersion") or version
        return version

    def _learn(self, ref: ObjectRef, value: KubeObject | None) -> None:
        watched = self._watched.get(ref)
        if watched is None:
            return
        first = not watched.known.is_set()
        changed = _version(value) != _version(watched.value)
        watched.value = value
        watched.known.set()
        if changed or first:
            for listener in list(watched.listeners):
                listener()


def _path(ref: ObjectRef) -> str:
    api_version, plural = _KINDS[ref.kind]
    return path(api_version, plural, namespace=ref.namespace)


def _complete(ref: ObjectRef, thing: KubeObject) -> KubeObject:
    """Items of a list carry neither kind nor apiVersion."""
    return {**thing, "kind": ref.kind, "apiVersion": _KINDS[ref.kind][0]}


def _version(thing: KubeObject | None) -> tuple[str, str] | None:
    return (thing["metadata"].get("uid", ""), thing["metadata"].get("resourceVersion", "")) if thing else None
