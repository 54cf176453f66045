"""Requests of the kubelet that the cluster must answer, sent over the provider's connection and awaited.

The provider checks each against the pod (design decision 2); here nothing is judged. Without a connection the answer is
`Unavailable`, and the kubelet tries again by itself.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

Frame = dict[str, Any]
Send = Callable[[Frame], Awaitable[None]]

_ANSWER_WITHIN = 30.0
_RECONNECTS_WITHIN = 5.0
"""Seconds a request waits for a provider. client-go repeats a 503 ten times: a provider that is away for a minute
costs no event (a rejected one is lost), and one that comes back is asked at once."""


class Verb(StrEnum):
    """What a guest may ask of the cluster."""

    PATCH_STATUS = "patchStatus"
    CREATE_EVENT = "createEvent"
    PATCH_EVENT = "patchEvent"
    CREATE_TOKEN = "createToken"  # noqa: S105 - a verb
    DELETE_POD = "deletePod"
    # Of the agent's own, not the kubelet's:
    REPORT_REACHABILITY = "reportReachability"
    """What of the cluster is reached from the Pod's network (`reachability`)."""
    REPORT_LEASE = "reportLease"
    """What has become of the Pod's address (`lease`)."""


class Unavailable(Exception):
    """No provider is connected, or it went before it answered (the request may have been done)."""


class Relay:
    """The requests in flight; one provider connection at a time."""

    def __init__(self) -> None:
        self._send: Send | None = None
        self._attached = asyncio.Event()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[tuple[int, Any]]] = {}
        self.connection = 0
        """Which one it is, counted."""
        self.on_attach: list[Callable[[], None]] = []
        """Each is called with each new one."""

    def attach(self, send: Send) -> None:
        """Requests go here from now on; those sent to the connection before are given up."""
        self._give_up()
        self._send = send
        self.connection += 1
        self._attached.set()
        for heard in self.on_attach:
            heard()

    def detach(self, send: Send) -> None:
        """The connection is gone (nothing happens if it was replaced already)."""
        if self._send == send:
            self._send = None
            self._attached.clear()
            self._give_up()

    async def request(self, verb: Verb, namespace: str, name: str, content_type: str, body: Any) -> tuple[int, Any]:
        """Status code and object as the cluster gave them. Raises Unavailable."""
        try:
            async with asyncio.timeout(_RECONNECTS_WITHIN):
                await self._attached.wait()
        except TimeoutError:
            raise Unavailable("the provider is not connected") from None
        send = self._send
        assert send is not None
        number = next(self._numbers)
        answer: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        frame = {
            "type": "request",
            "id": number,
            "verb": verb,
            "namespace": namespace,
            "name": name,
            "contentType": content_type,
            "body": body,
        }
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                await send(frame)
                return await answer
        except TimeoutError:
            raise Unavailable(f"the provider did not answer within {_ANSWER_WITHIN:.0f} s") from None
        except OSError as error:
            raise Unavailable(f"the provider's connection failed: {error}") from error
        finally:
            del self._waiting[number]

    def reply(self, number: Any, code: Any, value: Any) -> None:
        """The provider answered; an answer that nobody waits for any more is dropped. Raises ValueError."""
        if isinstance(code, bool) or not isinstance(code, int) or not 100 <= code <= 599:
            raise ValueError("reply.code: an HTTP status code is required")
        answer = self._waiting.get(number) if isinstance(number, int) else None
        if answer is not None and not answer.done():
            answer.set_result((code, value))

    def _give_up(self) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Unavailable("the provider's connection ended before it answered"))
                answer.exception()  # retrieved here in case its waiter is gone
