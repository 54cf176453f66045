"""Bytes to and from the guest's own kubelet, untouched, once a request has been allowed.

The request's head is built anew: a target made of checked parts, and the few headers that the streaming protocols need.
The caller's credentials never reach a guest (a captured token of an admin would be the cluster: Azurescape, 2021). A
guest is untrusted too: after an upgrade request anything but 101 is an answer with a limit and an end, never a tunnel
(CVE-2018-1002105), and redirects are not followed nor passed on (CVE-2020-8559).
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import h11

from provider.errors import GuestUnreachable
from provider.kubelet.head import BadHead, Request, Response, read_response, response_head
from provider.kubelet.routes import STREAMS, Action, Route

_CHUNK = 64 << 10
_ERROR_LIMIT = 64 << 10  # bytes of an error's body; the kubelet's own are a line
_ERROR_WITHIN = 10.0  # seconds for it
_CLOSE_WITHIN = 10.0  # seconds for a guest to take the last bytes

_UP = frozenset(
    {
        "upgrade", "x-stream-protocol-version", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol",
        "sec-websocket-extensions",
    }
)  # fmt: skip
_DOWN = frozenset(
    {
        "upgrade", "x-stream-protocol-version", "sec-websocket-accept", "sec-websocket-protocol",
        "sec-websocket-extensions", "content-type", "transfer-encoding", "content-length", "date",
    }
)  # fmt: skip

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


Flow = Callable[[int], object]


def _uncounted(count: int) -> None:
    """Nobody counts."""


def wants_upgrade(request: Request) -> bool:
    """Whether the client asks to change the protocol."""
    tokens = {token.strip().lower() for value in request.all("connection") for token in value.split(",")}
    return "upgrade" in tokens and bool(request.all("upgrade"))


def guest_head(request: Request, route: Route, *, upgrade: bool) -> bytes:
    """The request for the guest's kubelet."""
    headers = [("Host", "localhost"), ("User-Agent", "virtual-kubelet-vch")]
    if upgrade:
        headers += [(name, value) for name, value in request.headers if name in _UP]
        headers.append(("Connection", "Upgrade"))
    else:
        headers.append(("Connection", "close"))
    if request.method == "POST":
        headers.append(("Content-Length", "0"))
    connection = h11.Connection(h11.CLIENT)
    return connection.send(h11.Request(method=request.method, target=route.target, headers=headers)) or b""


async def splice(
    request: Request, route: Route, client: Pair, guest: Pair, flows: tuple[Flow, Flow] = (_uncounted, _uncounted)
) -> int:
    """Carries one request through; returns the status that the client got. Raises GuestUnreachable before that.

    `flows` are told of bytes to the guest and to the client, those of heads and errors left out.
    The caller closes both connections.
    """
    upgrade = route.action in STREAMS
    if upgrade and not wants_upgrade(request):
        raise BadHead(f"/{route.action} takes an Upgrade to SPDY/3.1 or WebSocket")
    client_reader, client_writer = client
    guest_reader, guest_writer = guest
    guest_writer.write(guest_head(request, route, upgrade=upgrade))
    try:
        await guest_writer.drain()
        response = await read_response(guest_reader, request.method)
    except (OSError, EOFError, BadHead) as error:
        raise GuestUnreachable(f"the guest's kubelet gave no answer: {error}") from error
    if upgrade and response.status == 101:
        client_writer.write(_switching(response))
        client_writer.write(response.early)
        guest_writer.write(request.early)
        flows[0](len(request.early))
        flows[1](len(response.early))
        await _both_ways(client, guest, flows)
        await _delivered(guest_writer)
    elif route.action is Action.LOGS and response.status == 200:
        client_writer.write(response_head(200, _down(response)))
        client_writer.write(response.early)
        flows[1](len(response.early))
        await _until_either_ends(client_reader, guest_reader, client_writer, flows[1])
    else:
        await _relay_error(response, guest_reader, client_writer)
    return response.status


def _down(response: Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in response.headers if name in _DOWN]


def _switching(response: Response) -> bytes:
    lines = [f"{name}: {value}" for name, value in (*_down(response), ("connection", "Upgrade"))]
    return "\r\n".join(("HTTP/1.1 101 Switching Protocols", *lines, "", "")).encode("latin-1")


async def _both_ways(client: Pair, guest: Pair, flows: tuple[Flow, Flow]) -> None:
    """Until one side has closed and what it sent is delivered. TLS knows no half-closed connection in asyncio; the
    streaming protocols close their streams themselves."""
    await _first_of(_pump(client[0], guest[1], flows[0]), _pump(guest[0], client[1], flows[1]))


async def _delivered(writer: asyncio.StreamWriter) -> None:
    """Close a connection whose peer may still have to take what was written; one that does not is left."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CLOSE_WITHIN):
            await writer.wait_closed()


async def _until_either_ends(
    client: asyncio.StreamReader, guest: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Flow
) -> None:
    """A response without end (logs -f) must not outlive its reader; one that is gone shows as an end of its stream."""

    async def client_gone() -> None:
        while await client.read(_CHUNK):
            pass

    await _first_of(client_gone(), _pump(guest, writer, flow))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flow: Flow) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            flow(len(data))
            writer.write(data)
            await writer.drain()


async def _first_of(*ways: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _relay_error(response: Response, guest: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    """An answer that is not the one hoped for: its status, and as much of its text as is decent."""
    text = response.early
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(_ERROR_WITHIN):
            while len(text) < _ERROR_LIMIT and (data := await guest.read(_CHUNK)):
                text += data
    status = response.status if 400 <= response.status <= 599 or response.status == 200 else 502
    chunked = any(name == "transfer-encoding" for name, _ in response.headers)
    body = (_dechunk(text) if chunked else text)[:_ERROR_LIMIT]
    headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body)))]
    client.write(response_head(status, headers) + body)
    with contextlib.suppress(OSError):
        await client.drain()


def _dechunk(text: bytes) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "guest")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + text)
    body = b""
    with contextlib.suppress(h11.RemoteProtocolError):
        while isinstance(event := connection.next_event(), h11.Response | h11.Data):
            if isinstance(event, h11.Data):
                body += bytes(event.data)
    return body
