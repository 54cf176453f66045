"""Events on Pods: recorded without waiting, sent one by one in the background; the same event again is counted up.

What events there are and what they say is decided where they are recorded. A full queue drops events, never Pods.
"""

import asyncio
import contextlib
import uuid
from collections import OrderedDict
from typing import Protocol

import structlog

from provider import errors
from provider.clock import Clock
from provider.kube.client import MERGE, KubeObject
from provider.node import timestamp

log = structlog.get_logger(__name__)

COMPONENT = "virtual-kubelet-vch"
_QUEUE = 2000
_REMEMBERED = 4000
_AGAIN = 600.0  # seconds within which the same text is the same event, as client-go's EventAggregator has it


class EventWrites(Protocol):
    """The two writes that are needed."""

    async def create_event(self, namespace: str, event: KubeObject) -> KubeObject: ...

    async def patch_event(self, namespace: str, name: str, patch: KubeObject, content_type: str) -> KubeObject: ...


class EventRecorder:
    """Events that one virtual node reports."""

    def __init__(self, writes: EventWrites, node: str, clock: Clock) -> None:
        self._writes = writes
        self._node = node
        self._clock = clock
        self._queue: asyncio.Queue[tuple[KubeObject, str, str, str]] = asyncio.Queue(_QUEUE)
        self._sent: OrderedDict[tuple[str, ...], tuple[str, int, float]] = OrderedDict()

    def normal(self, pod: KubeObject, reason: str, message: str) -> None:
        self._put(pod, "Normal", reason, message)

    def warning(self, pod: KubeObject, reason: str, message: str) -> None:
        self._put(pod, "Warning", reason, message)

    async def run(self) -> None:
        """Send until cancelled; what cannot be sent is dropped."""
        while True:
            pod, kind, reason, message = await self._queue.get()
            try:
                await self._send(pod, kind, reason, message)
            except errors.KubeError as error:
                log.warning("event dropped", reason=reason, pod=pod["metadata"]["name"], error=str(error))

    def _put(self, pod: KubeObject, kind: str, reason: str, message: str) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait((pod, kind, reason, message[:1024]))

    async def _send(self, pod: KubeObject, kind: str, reason: str, message: str) -> None:
        meta = pod["metadata"]
        key = (meta["uid"], kind, reason, message)
        now = self._clock.monotonic()
        name, count, at = self._sent.pop(key, ("", 0, 0.0))
        if name and now - at < _AGAIN:
            patch = {"count": count + 1, "lastTimestamp": timestamp(self._clock.now())}
            try:
                await self._writes.patch_event(meta["namespace"], name, patch, MERGE)
            except errors.KubeNotFound:
                name = ""
        else:
            name = ""
        if not name:
            count = 0
            name = f"{meta['name']}.{uuid.uuid4().hex[:16]}"
            await self._writes.create_event(meta["namespace"], self._event(pod, name, kind, reason, message))
        self._sent[key] = (name, count + 1, now)
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)

    def _event(self, pod: KubeObject, name: str, kind: str, reason: str, message: str) -> KubeObject:
        meta = pod["metadata"]
        now = timestamp(self._clock.now())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": COMPONENT, "host": self._node},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._node,
        }
