"""All objects of one kind, listed and then watched: what is kept of each is decided by whoever asks, at once.

For kinds of which there may be very many: lists come in pages, and no object lives longer than it takes to read it. The
Pods of a virtual node are kopf's to watch (`pod_watch`).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Generic, Protocol, TypeVar

import structlog

from provider import errors
from provider.kube.client import KubeObject

log = structlog.get_logger(__name__)

_FIRST_DELAY, _LAST_DELAY = 0.05, 30.0
_WATCH_SECONDS = (300, 600)  # spread, so that watches do not all end at once
_PAGE = 500
"""Objects: what kube-controller-manager's reflectors ask for as well."""

T = TypeVar("T")


class ListClient(Protocol):
    """What is needed of `KubeClient`."""

    async def request(self, method: str, url_path: str, *, query: Mapping[str, str]) -> KubeObject: ...

    def stream(self, url_path: str, *, query: Mapping[str, str]) -> AsyncIterator[KubeObject]: ...


class Receiver(Protocol[T]):
    """Who is told. An object that is gone is told as it was last."""

    def listed(self, all_there_are: list[T]) -> None: ...

    def seen(self, thing: T) -> None: ...

    def gone(self, thing: T) -> None: ...


class Reflector(Generic[T]):
    """One kind, or those of it that selectors leave (`selected`: query parameters of the list and the watch).

    `optional`: a server that does not know the kind has none of it; else it is asked again as after any failure.
    """

    def __init__(
        self,
        client: ListClient,
        url_path: str,
        keep: Callable[[KubeObject], T],
        receiver: Receiver[T],
        selected: Mapping[str, str] | None = None,
        *,
        optional: bool = False,
    ) -> None:
        self._client = client
        self._path = url_path
        self._keep = keep
        self._receiver = receiver
        self._selected = dict(selected or {})
        self._optional = optional

    async def run(self) -> None:
        """Until cancelled. Whatever fails is tried again for ever, what is known stays known meanwhile."""
        delay = _FIRST_DELAY
        while True:
            try:
                version = await self._list()
                delay = _FIRST_DELAY
                while True:
                    version = await self._watch(version)
            except errors.KubeError as error:
                if self._optional and isinstance(error, errors.KubeNotFound):
                    self._receiver.listed([])
                    await asyncio.sleep(_LAST_DELAY)
                    continue
                level = log.debug if delay < 1 else log.warning
                level("objects cannot be watched", path=self._path, selected=self._selected, error=str(error))
                await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
                delay = min(delay * 2, _LAST_DELAY)

    async def _list(self) -> str:
        kept: list[T] = []
        query = {**self._selected, "limit": str(_PAGE)}
        while True:
            page = await self._client.request("GET", self._path, query=query)
            kept += [self._keep(item) for item in page.get("items") or ()]
            following = page["metadata"].get("continue")
            if not following:
                self._receiver.listed(kept)
                return str(page["metadata"]["resourceVersion"])
            query["continue"] = following

    async def _watch(self, version: str) -> str:
        """The version to go on from when the server ended the stream. Raises KubeError if it must be listed again."""
        query = {
            **self._selected,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311
        }
        async for event in self._client.stream(self._path, query=query):
            thing = event.get("object") or {}
            match event.get("type"):
                case "ADDED" | "MODIFIED":
                    self._receiver.seen(self._keep(thing))
                case "DELETED":
                    self._receiver.gone(self._keep(thing))
                case "ERROR":
                    raise errors.KubeUnavailable(f"WATCH {self._path}: {thing.get('message')}")
            version = (thing.get("metadata") or {}).get("resourceVersion") or version
        return version
