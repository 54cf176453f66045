"""Services, EndpointSlices and ServiceCIDRs of the cluster: one list and watch of each for all nodes and guests.

Read in the operator's own name: a node's identity may not read all of them. Begins when the first guest wants to know.
Not kopf's: a cluster has many of these, and each is needed for the few bytes that `service_feed` leaves.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import structlog

from provider import errors, service_feed
from provider.kube.client import KubeObject, path
from provider.service_feed import Key, Kind

log = structlog.get_logger(__name__)

_FIRST_DELAY, _LAST_DELAY = 0.1, 30.0
_WATCH_SECONDS = (300, 600)  # spread, so that watches do not all end at once
_PAGE = "500"


class RouteReceiver(Protocol):
    """`guest.routes.RouteTable`."""

    @property
    def wanted(self) -> asyncio.Event: ...

    def replace(self, kind: str, values: Mapping[Key, bytes]) -> None: ...

    def change(self, key: Key, value: bytes | None) -> None: ...


class WatchClient(Protocol):
    """What is needed of `KubeClient`."""

    async def request(self, method: str, url_path: str, *, query: Mapping[str, str]) -> KubeObject: ...

    def stream(self, url_path: str, *, query: Mapping[str, str]) -> AsyncIterator[KubeObject]: ...


async def run(client: WatchClient, receiver: RouteReceiver) -> None:
    """Until cancelled."""
    await receiver.wanted.wait()
    async with asyncio.TaskGroup() as group:
        for kind in service_feed.KINDS:
            group.create_task(_follow(client, receiver, kind), name=f"watch {kind.plural}")


async def _follow(client: WatchClient, receiver: RouteReceiver, kind: Kind) -> None:
    delay = _FIRST_DELAY
    while True:
        try:
            version = await _list(client, receiver, kind)
            delay = _FIRST_DELAY
            while version:
                version = await _watch(client, receiver, kind, version)
        except errors.KubeNotFound:
            # A cluster too old for ServiceCIDRs has none.
            receiver.replace(kind.name, {})
            await asyncio.sleep(_LAST_DELAY)
        except errors.KubeError as error:
            log.warning("services cannot be watched", kind=kind.name, reason=error.reason, error=str(error))
            await asyncio.sleep(delay * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
            delay = min(delay * 2, _LAST_DELAY)


async def _list(client: WatchClient, receiver: RouteReceiver, kind: Kind) -> str:
    """The version of the list, by pages: a cluster's EndpointSlices at once would lie in memory as a whole."""
    values: dict[Key, bytes] = {}
    query = {**kind.query, "limit": _PAGE}
    while True:
        found = await client.request("GET", path(kind.api_version, kind.plural), query=query)
        for thing in found.get("items") or ():
            stripped = kind.strip(thing)
            if stripped is not None:
                values[service_feed.key(kind, thing)] = service_feed.encoded(stripped)
        metadata = found["metadata"]
        if not metadata.get("continue"):
            receiver.replace(kind.name, values)
            return str(metadata["resourceVersion"])
        query = {**query, "continue": metadata["continue"]}


async def _watch(client: WatchClient, receiver: RouteReceiver, kind: Kind, version: str) -> str:
    """The version to go on from when the server ended the stream; empty: the version is too old, list again."""
    query = {
        **kind.query,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),  # noqa: S311
    }
    async for event in client.stream(path(kind.api_version, kind.plural), query=query):
        thing = event.get("object") or {}
        match event.get("type"):
            case "ADDED" | "MODIFIED":
                stripped = kind.strip(thing)
                value = service_feed.encoded(stripped) if stripped is not None else None
                receiver.change(service_feed.key(kind, thing), value)
            case "DELETED":
                receiver.change(service_feed.key(kind, thing), None)
            case "ERROR":
                return ""
        version = (thing.get("metadata") or {}).get("resourceVersion") or version
    return version
