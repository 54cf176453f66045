"""Bytes between a client and a guest's kubelet: all of them, both ways, and no longer than either is there."""

import asyncio
import contextlib
import ssl
from typing import Any

import pytest

from provider.guest.dial import dial
from provider.kubelet import server
from tests.kubelet.conftest import Served, Stream

EXEC = "/exec/default/web/main?command=cat&stdin=1&stdout=1"
LOGS = "/containerLogs/default/web/main"
SPDY = (
    "Upgrade: SPDY/3.1",
    "X-Stream-Protocol-Version: v5.channel.k8s.io",
    "X-Stream-Protocol-Version: v4.channel.k8s.io",
)
WEBSOCKET = (
    "Upgrade: websocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: v5.channel.k8s.io",
)
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: any\r\n\r\n"
MEGABYTE = bytes(range(256)) * 4096


async def open_tunnel(stream: Stream, *protocol: str, method: str = "POST", path: str = EXEC) -> bytes:
    """The head of the answer."""
    lines = [f"{method} {path} HTTP/1.1", "Host: node", "Authorization: Bearer good", "Connection: Upgrade"]
    stream[1].write("\r\n".join([*lines, *(protocol or SPDY), "", ""]).encode())
    return await stream[0].readuntil(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "path", "protocol"),
    [
        ("POST", EXEC, SPDY),
        ("GET", EXEC, WEBSOCKET),
        ("POST", "/attach/default/web/main?stdin=1", SPDY),
        ("GET", "/attach/default/web/main?stdin=1", WEBSOCKET),
        ("POST", "/portForward/default/web", SPDY),
        ("GET", "/portForward/default/web?port=80", WEBSOCKET),
    ],
)
async def test_each_protocol_is_offered_to_the_guest_as_the_client_offered_it(
    served: Served, method: str, path: str, protocol: tuple[str, ...]
) -> None:
    async def switch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHED.replace(b"any", b"chosen\r\nSec-WebSocket-Accept: key\r\nX-Stream-Protocol-Version: v4"))
        writer.write(await reader.readexactly(4))

    served.guest.answer = switch
    async with served.connected() as stream:
        head = (await open_tunnel(stream, *protocol, method=method, path=path)).lower()
        assert head.startswith(b"http/1.1 101 ")
        for line in (b"upgrade: chosen", b"connection: upgrade", b"accept: key", b"x-stream-protocol-version: v4"):
            assert line in head
        stream[1].write(b"ping")
        assert await stream[0].read() == b"ping"
    asked = served.guest.heads[0].decode().lower().split("\r\n")
    assert asked[0] == f"{method} {path} http/1.1".lower()
    assert {line.lower() for line in protocol} <= set(asked)
    assert "connection: upgrade" in asked


async def test_what_the_guest_sent_before_it_closed_is_delivered(served: Served) -> None:
    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHED + MEGABYTE)
        await writer.drain()

    served.guest.answer = pour
    async with served.connected() as stream:
        await open_tunnel(stream)
        assert await stream[0].read() == MEGABYTE


async def test_what_the_client_sent_before_it_closed_is_delivered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = bytearray()
    may_read = asyncio.Event()

    async def dial_deep(*where: Any) -> Stream:
        """A connection on the way to the guest that has room for all of it."""
        stream = await dial(*where)
        stream[1].transport.set_write_buffer_limits(high=64 * len(MEGABYTE))
        return stream

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHED)
        await may_read.wait()
        while data := await reader.read(65536):
            got.extend(data)

    monkeypatch.setattr(server, "dial", dial_deep)
    served.guest.answer = swallow
    async with served.connected() as stream:
        await open_tunnel(stream)
        stream[1].write(16 * MEGABYTE)
        stream[1].close()
        await stream[1].wait_closed()
        may_read.set()
        async with asyncio.timeout(30):
            await served.guest.gone.wait()
    assert len(got) == 16 * len(MEGABYTE)
    assert bytes(got) == 16 * MEGABYTE


async def test_a_client_that_is_gone_takes_its_guests_connection_along(served: Served) -> None:
    async def idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHED)
        await reader.read()

    served.guest.answer = idle
    async with served.connected() as stream:
        await open_tunnel(stream)
    async with asyncio.timeout(30):
        await served.guest.gone.wait()


async def test_a_guest_that_is_gone_ends_the_clients_connection(served: Served) -> None:
    async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCHED)
        await writer.drain()
        writer.transport.abort()

    served.guest.answer = leave
    async with served.connected() as stream:
        await open_tunnel(stream)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert await stream[0].read() == b""
