"""The provider's connection (`vch-feed/1`): objects come in, the relay's requests go out.

The first frame must be `hello`: the agent reads its identity from the hypervisor again and compares, so that a machine
cloned from this one finds out before it is fed. The newest connection replaces the one before. Says nothing about TLS
(`provider_port`) or about what the objects are for (`pod_objects`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from . import __version__, frames
from .frames import BadFrame
from .pod_objects import PodObjects
from .relay import Relay
from .service_links import ServiceLinks
from .service_routes import ServiceRoutes

log = logging.getLogger(__name__)

PROTOCOL = 1
_HELLO_WITHIN = 10.0
_SILENT = 30.0
"""Seconds without a frame after which the provider is taken for dead; it pings every 10 s."""


class Refusal(Exception):
    """This connection, or this machine, is not served; `reason` is one CamelCase word."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the agent says of itself."""

    pod_uid: str
    kubelet_version: str
    machine_id: str
    boot_id: str


Check = Callable[[dict[str, Any]], Awaitable[Welcome]]
"""Judge a hello. Raises Refusal."""


class Feed:
    """Serves provider connections, one at a time."""

    def __init__(self, objects: PodObjects, routes: ServiceRoutes, relay: Relay, check: Check) -> None:
        self._objects = objects
        self._routes = routes
        self._links = ServiceLinks(routes, objects)
        self._relay = relay
        self._check = check
        self._current: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        return self._current is not None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with a provider until either side ends. Raises BadFrame, EOFError, OSError, TimeoutError."""
        sending = asyncio.Lock()

        async def send(frame: dict[str, Any]) -> None:
            data = frames.encode(frame)
            async with sending:  # frames of a slow connection must not pile up in memory
                writer.write(data)
                await writer.drain()

        async with asyncio.timeout(_HELLO_WITHIN):
            hello = await frames.read(reader)
        if hello["type"] != "hello" or hello.get("protocol") != PROTOCOL:
            raise BadFrame(f"the first frame must be hello of protocol {PROTOCOL}")
        try:
            welcome = await self._check(hello)
        except Refusal as refusal:
            await send({"type": "refused", "reason": refusal.reason, "message": str(refusal)})
            return
        previous, self._current = self._current, asyncio.current_task()
        if previous is not None:
            log.info("a newer provider connection replaces the one before")
            previous.cancel()
        try:
            await send(self._welcome(welcome))
            self._relay.attach(send)
            await self._converse(reader, send)
        finally:
            self._relay.detach(send)
            if self._current is asyncio.current_task():
                self._current = None

    async def _converse(self, reader: asyncio.StreamReader, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        while True:
            async with asyncio.timeout(_SILENT):
                frame = await frames.read(reader)
            try:
                match frame["type"]:
                    case "snapshot":
                        await self._links.snapshot(_objects(frame, "objects"))
                    case "apply":
                        self._objects.apply(frame.get("object"))
                    case "remove":
                        self._objects.remove(frame.get("object"))
                    case "routes":
                        self._routes.change(
                            _objects(frame, "apply"),
                            _objects(frame, "remove"),
                            first=frame.get("first") is True,
                            last=frame.get("last") is True,
                        )
                        self._links.follow()
                    case "reply":
                        self._relay.reply(frame.get("id"), frame.get("code"), frame.get("object"))
                    case "ping":
                        await send({"type": "pong"})
                    case "pong":
                        pass
                    case other:
                        raise BadFrame(f"a provider does not send {other!r} frames")
            except ValueError as error:
                raise BadFrame(f"{frame['type']}: {error}") from error

    def _welcome(self, welcome: Welcome) -> dict[str, Any]:
        return {
            "type": "welcome",
            "protocol": PROTOCOL,
            "podUID": welcome.pod_uid,
            "agentVersion": __version__,
            "kubeletVersion": welcome.kubelet_version,
            "resumed": self._objects.known.is_set(),
            "machineId": welcome.machine_id,
            "bootId": welcome.boot_id,
        }


def _objects(frame: dict[str, Any], member: str) -> list[Any]:
    values = frame.get(member)
    if not isinstance(values, list):
        raise ValueError(f"{member}: a list is required")
    return values
