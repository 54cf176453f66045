"""Lists and watches of the API server, and what was asked of it: `kube.reflector.ListClient`."""

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping

from provider import errors
from provider.kube.client import path

POLICIES = path("networking.k8s.io/v1", "networkpolicies")
PODS = path("v1", "pods")
NAMESPACES = path("v1", "namespaces")


class FakeAPI:
    """Objects by path and UID. Changes reach open watches in order."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict]] = {POLICIES: {}, PODS: {}, NAMESPACES: {}}
        self.asked: list[str] = []
        """LIST or WATCH, and of what."""
        self.queries: list[Mapping[str, str]] = []
        self.open: list[tuple[str, asyncio.Queue[dict | None]]] = []
        self.page = 1000
        self.answering = {kind: asyncio.Event() for kind in self.objects}
        """Cleared: lists of the kind get no answer."""
        for answering in self.answering.values():
            answering.set()
        self.broken = False
        self._version = 1

    def put(self, kind: str, *things: dict) -> None:
        for thing in things:
            self._version += 1
            stored = copy.deepcopy(thing)
            stored["metadata"]["resourceVersion"] = str(self._version)
            old = self.objects[kind].get(stored["metadata"]["uid"])
            self.objects[kind][stored["metadata"]["uid"]] = stored
            self._tell(kind, {"type": "MODIFIED" if old else "ADDED", "object": stored})

    def delete(self, kind: str, *things: dict) -> None:
        for thing in things:
            self._tell(kind, {"type": "DELETED", "object": self.objects[kind].pop(thing["metadata"]["uid"])})

    def end_watches(self, with_event: dict | None = None) -> None:
        for _, queue in self.open:
            if with_event:
                queue.put_nowait(with_event)
            queue.put_nowait(None)

    def watched(self) -> set[str]:
        return {kind for kind, _ in self.open}

    async def request(self, method: str, url_path: str, *, query: Mapping[str, str]) -> dict:
        self.asked.append(f"LIST {url_path}")
        self.queries.append(dict(query))
        await asyncio.sleep(0)
        await self.answering[url_path].wait()
        if self.broken:
            raise errors.KubeUnavailable("out of order")
        things, start = list(self.objects[url_path].values()), int(query.get("continue", "0"))
        end = start + min(self.page, int(query["limit"]))
        meta = {"resourceVersion": str(self._version), **({"continue": str(end)} if end < len(things) else {})}
        return {"metadata": meta, "items": copy.deepcopy(things[start:end])}

    async def stream(self, url_path: str, *, query: Mapping[str, str]) -> AsyncIterator[dict]:
        self.asked.append(f"WATCH {url_path}")
        self.queries.append(dict(query))
        if self.broken:
            raise errors.KubeUnavailable("out of order")
        mine: tuple[str, asyncio.Queue[dict | None]] = (url_path, asyncio.Queue())
        self.open.append(mine)
        try:
            while (event := await mine[1].get()) is not None:
                yield event
        finally:
            self.open.remove(mine)

    def _tell(self, kind: str, event: dict) -> None:
        for watched, queue in self.open:
            if watched == kind:
                queue.put_nowait(copy.deepcopy(event))
