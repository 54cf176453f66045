"""One pod VM's long-lived connection: the guest is kept in possession of its objects, and its requests are relayed.

`feed` sets the complete desired set of objects; the link sends the difference to what the guest has, and everything
anew after each connect, so that no lost frame matters; before a Pod's first objects the Services. It reconnects for
ever; only a guest that refuses ends it. What objects there are is `provider.feed`'s business, which Services
`provider.service_feed`'s, what a request may do `provider.relay`'s.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any

import structlog

from provider import cancellation
from provider.errors import GuestError, GuestRefused, GuestUnreachable
from provider.feed import KubeObject
from provider.guest import frames
from provider.guest.connection import Connection, told
from provider.guest.credentials import ClientCredentials
from provider.guest.dial import dial
from provider.guest.object_set import Key, difference, key_of
from provider.guest.routes import RouteTable
from provider.podvm import PodIdentity
from provider.relay import RelayReply, RelayRequest
from provider.service_feed import Scope

RelayHandler = Callable[[RelayRequest], Awaitable[RelayReply]]
Clock = Callable[[], float]

PROTOCOL = 1
ROUTES_APART = 1.0
"""Seconds between what a guest is told of Services, at least: its kube-proxy writes rules each time."""

STARVED = 10.0
"""Seconds without Services after which a Pod's owner is told what the Pod waits for."""

_FIRST_RETRY = 0.1
_LAST_RETRY = 5.0
_IN_FLIGHT = 32  # requests of one guest that are carried out at a time; a kubelet sends a handful


class LinkState(StrEnum):
    CONNECTING = "Connecting"
    CONNECTED = "Connected"
    LOST = "Lost"
    REFUSED = "Refused"


class GuestLink:
    """See the module. `clock` gives Unix seconds: the guest sets its clock by them."""

    def __init__(
        self,
        *,
        identity: PodIdentity,
        clone_id: str,
        address: str,
        port: int,
        pin: str,
        credentials: ClientCredentials,
        relay: RelayHandler,
        on_change: Callable[[LinkState], None],
        clock: Clock,
        routes: RouteTable,
        scope: Scope,
    ) -> None:
        self.state = LinkState.CONNECTING
        self.welcome: dict[str, Any] = {}
        self._identity = identity
        self._clone_id = clone_id
        self._address = address
        self._port = port
        self._pin = pin
        self._credentials = credentials
        self._relay = relay
        self._on_change = on_change
        self._clock = clock
        self._routes = routes
        self._scope = scope
        self._log = structlog.get_logger(pod=f"{identity.namespace}/{identity.name}", uid=identity.uid)
        self._desired: dict[Key, KubeObject] | None = None
        self._changed = asyncio.Event()
        self._starved = asyncio.Event()
        self._begun: set[asyncio.Task[RelayReply]] = set()

    def feed(self, objects: Sequence[KubeObject]) -> None:
        """Sets the complete set of objects that the guest is to have; the order is kept."""
        self._desired = {key_of(thing): thing for thing in objects}
        self._changed.set()

    async def starved(self) -> None:
        """Returns when the guest has waited too long for the Services that its Pod's containers are to be told of."""
        await self._starved.wait()

    async def run(self) -> None:
        """Until cancelled. Raises GuestRefused when the agent refuses for good."""
        delay = _FIRST_RETRY
        while True:
            try:
                await self._converse()
            except GuestRefused:
                self._become(LinkState.REFUSED)
                raise
            except GuestError as error:
                if self.state is LinkState.CONNECTED:
                    delay = _FIRST_RETRY
                if self.state is not LinkState.LOST:
                    self._log.info("guest is not connected", reason=error.reason, error=str(error))
                self._become(LinkState.LOST)
            # Nothing tells when a guest is back: its address is asked again, at growing distances.
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LAST_RETRY)

    async def _converse(self) -> None:
        reader, writer = await dial(self._address, self._port, self._pin, self._credentials.feed)
        connection = Connection(reader, writer)
        try:
            self.welcome = await self._greet(connection)
            self._become(LinkState.CONNECTED)
            routed = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send_objects(connection, routed))
                group.create_task(connection.ping())
                group.create_task(self._send_routes(connection, routed))
                await self._receive(connection, group)
        except* GuestError as group_error:
            cancellation.heed()
            raise _first(group_error) from group_error
        finally:
            writer.transport.abort()

    async def _greet(self, connection: Connection) -> dict[str, Any]:
        hello = {
            "type": "hello",
            "protocol": PROTOCOL,
            "podUID": self._identity.uid,
            "cloneId": self._clone_id,
            "time": self._clock(),
        }
        await connection.send(hello)
        answer = await connection.receive()
        if answer.get("type") == "refused":
            raise GuestRefused(told(answer, "reason", "message"))
        if answer.get("type") != "welcome" or answer.get("podUID") != self._identity.uid:
            raise GuestUnreachable(f"the guest answered hello with {told(answer, 'type')!r}")
        return answer

    async def _send_objects(self, connection: Connection, routed: asyncio.Event) -> None:
        """A snapshot as soon as there is something to feed, differences from then on."""
        if self.welcome.get("resumed") is not True:  # a Pod that is there already must be deletable without Services
            await self._until_routed(routed)
        sent: dict[Key, KubeObject] | None = None
        while True:
            self._changed.clear()
            desired = self._desired
            if desired is not None and sent is None:
                await connection.send({"type": "snapshot", "objects": list(desired.values())})
            elif desired is not None and sent is not None:
                for frame in difference(sent, desired):
                    await connection.send(frame)
            sent = desired
            await self._changed.wait()

    async def _until_routed(self, routed: asyncio.Event) -> None:
        """Wait for the Services: of what there is when it starts a container is told, and never again."""
        try:
            async with asyncio.timeout(STARVED):
                await routed.wait()
        except TimeoutError:
            self._log.warning("the guest is fed when Services can be listed")
            self._starved.set()
            await routed.wait()

    async def _send_routes(self, connection: Connection, routed: asyncio.Event) -> None:
        """The Services of the guest's scope: all, then what changes."""
        subscription = self._routes.subscribe(self._scope)
        try:
            payloads = await subscription.all()
            while True:
                for payload in payloads:
                    await connection.write(frames.packed(payload))
                routed.set()
                await asyncio.sleep(ROUTES_APART)
                payloads = await subscription.news()
        finally:
            subscription.close()

    async def _receive(self, connection: Connection, group: asyncio.TaskGroup) -> None:
        in_flight = asyncio.Semaphore(_IN_FLIGHT)
        while True:
            frame = await connection.receive()
            match frame.get("type"):
                case "request":
                    await in_flight.acquire()
                    task = group.create_task(self._answer(connection, frame))
                    task.add_done_callback(lambda _: in_flight.release())
                case "ping":
                    await connection.send({"type": "pong"})
                case "pong":
                    pass
                case "refused":
                    raise GuestRefused(told(frame, "reason", "message"))
                case _:
                    raise GuestUnreachable(f"the guest sent a frame of the unknown type {told(frame, 'type')!r}")

    async def _answer(self, connection: Connection, frame: dict[str, Any]) -> None:
        body = frame.get("body")
        request = RelayRequest(
            verb=str(frame.get("verb")),
            namespace=str(frame.get("namespace")),
            name=str(frame.get("name")),
            content_type=str(frame.get("contentType") or ""),
            body=body if isinstance(body, dict) else {},
        )
        # Once begun a request is carried out whatever becomes of the connection: the final delete switches the VM off,
        # and an API server that is left in the middle of a delete leaves the Pod half deleted.
        work = asyncio.create_task(self._carry_out(request))
        self._begun.add(work)
        work.add_done_callback(self._begun.discard)
        reply = await asyncio.shield(work)
        await connection.send({"type": "reply", "id": frame.get("id"), "code": reply.code, "object": reply.object})

    async def _carry_out(self, request: RelayRequest) -> RelayReply:
        return await self._relay(request)

    def _become(self, state: LinkState) -> None:
        if state is not self.state:
            self.state = state
            self._on_change(state)


def _first(group: BaseExceptionGroup[GuestError]) -> GuestError:
    """A refusal if there is one, else whatever came first."""
    flat: list[GuestError] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        elif isinstance(error, GuestError):
            flat.append(error)
    with contextlib.suppress(StopIteration):
        return next(error for error in flat if isinstance(error, GuestRefused))
    return flat[0]
