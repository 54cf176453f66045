"""The port that is reachable from outside: TLS, who is let in, bytes through to the kubelet."""

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from vch_agent import keys, pki, provider_port, splice
from vch_agent.identity import Identity
from vch_agent.pki import LocalPKI
from vch_agent.provider_port import ProviderPort, kubelet_context, server_context

from tests.guest import build

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Outside:
    """A port with a kubelet behind it that echoes until `.` and then closes."""

    def __init__(self, port: int, kubelet: int, provider_ca: LocalPKI) -> None:
        self.port, self.kubelet_port, self.ca = port, kubelet, provider_ca

    async def connect(self, alpn: str | None = "http/1.1", certificate: bool = True) -> Streams:
        context = build.client_context(self.ca, alpn, certificate)
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalPKI:
    return asyncio.run(pki.make_local("openssl", tmp_path_factory.mktemp("local")))


@pytest.fixture
async def outside(tmp_path: Path, provider_ca: LocalPKI, local: LocalPKI) -> AsyncIterator[Outside]:
    async def kubelet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await reader.read(65536)) and data != b".":
            writer.write(data)
            await writer.drain()
        writer.write(b"end")
        writer.close()

    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(local.server_cert, local.server_key)
    serving.verify_mode = ssl.CERT_REQUIRED
    serving.load_verify_locations(local.ca_cert)
    server = await asyncio.start_server(kubelet, "127.0.0.1", 0, ssl=serving)
    kubelet_port = server.sockets[0].getsockname()[1]

    async def feed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"feed")
        await writer.drain()

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await splice.splice((reader, writer), await splice.kubelet(kubelet_context(local), kubelet_port))

    who = Identity.parse(build.identity(clientCA=provider_ca.ca_cert.read_text()))
    key = await keys.obtain("openssl", tmp_path / "lib", who)
    port = ProviderPort(server_context(key, who), feed, other)
    port.listen("127.0.0.1", 0)
    yield Outside(port.port, kubelet_port, provider_ca)
    await port.close()
    server.close()


async def test_alpn_chooses_the_feed(outside: Outside) -> None:
    reader, _ = await outside.connect("vch-feed/1")
    assert await reader.read() == b"feed"


@pytest.mark.parametrize("alpn", ["http/1.1", None])
async def test_everything_else_goes_to_the_kubelet(outside: Outside, alpn: str | None) -> None:
    reader, writer = await outside.connect(alpn)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.write(b".")
    assert await reader.read() == b"end"


async def test_twenty_megabytes_come_back_as_they_went(outside: Outside) -> None:
    data = os.urandom(1 << 20) * 20
    reader, writer = await outside.connect()

    async def send() -> None:
        for start in range(0, len(data), 1 << 16):
            writer.write(data[start : start + (1 << 16)])
            await writer.drain()

    sending = asyncio.create_task(send())
    received = hashlib.sha256(await asyncio.wait_for(reader.readexactly(len(data)), 60))
    await sending
    assert received.hexdigest() == hashlib.sha256(data).hexdigest()
    writer.close()


async def test_a_reader_that_stops_stops_the_sender(outside: Outside) -> None:
    """Backpressure goes through: what a stalled client does not read is not collected in the agent."""
    reader, writer = await outside.connect()
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            writer.write(b"x" * (1 << 16))
            await asyncio.wait_for(writer.drain(), 0.5)
            sent += 1 << 16
            assert sent < 100 << 20

    with pytest.raises(TimeoutError):
        await send()
    writer.transport.abort()


async def test_ten_connections_at_once_do_not_mix(outside: Outside) -> None:
    async def one(number: int) -> bool:
        reader, writer = await outside.connect()
        data = bytes([number]) * 100_000
        writer.write(data)
        same = await reader.readexactly(len(data)) == data
        writer.close()
        return same

    assert all(await asyncio.gather(*map(one, range(10))))


async def test_a_stranger_is_not_let_in(outside: Outside, local: LocalPKI) -> None:
    """No certificate, or one of another CA (the guest's own, say)."""

    async def answered(ca: LocalPKI, certificate: bool) -> bytes:
        try:
            reader, _ = await Outside(outside.port, 0, ca).connect("vch-feed/1", certificate)
            return await reader.read()  # in TLS 1.3 the refusal comes after the client's handshake
        except (ssl.SSLError, ConnectionError):
            return b""

    assert await answered(outside.ca, True) == b"feed"
    assert await answered(outside.ca, False) == b""
    assert await answered(local, True) == b""


async def test_tls_1_2_is_not_spoken(outside: Outside) -> None:
    context = build.client_context(outside.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", outside.port, ssl=context)


async def test_silent_strangers_neither_stay_nor_lock_others_out(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_port, "_HANDSHAKE_WITHIN", 0.2)
    silent = [await asyncio.open_connection("127.0.0.1", outside.port) for _ in range(provider_port._HANDSHAKES)]
    too_many, _ = await asyncio.open_connection("127.0.0.1", outside.port)
    assert await asyncio.wait_for(too_many.read(1), 5) == b""
    for reader, _ in silent:
        assert await asyncio.wait_for(reader.read(1), 5) == b""
    reader, _ = await outside.connect("vch-feed/1")
    assert await reader.read() == b"feed"


async def test_the_kubelets_certificate_is_checked(outside: Outside, provider_ca: LocalPKI) -> None:
    with pytest.raises(ssl.SSLError):
        await splice.kubelet(kubelet_context(provider_ca), outside.kubelet_port)
