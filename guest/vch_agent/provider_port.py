"""The one port that is reachable from outside: TLS 1.3, the provider's client certificate demanded.

ALPN chooses what a connection is: `vch-feed/1` (see `feed`), else bytes for the kubelet's API (see `splice`). Strangers
are bounded before they are known: handshakes at a time, seconds for each, connections in all.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable

from .identity import Identity
from .keys import ServingKey
from .pki import LocalPKI

log = logging.getLogger(__name__)

FEED = "vch-feed/1"
_HANDSHAKES = 32
_CONNECTIONS = 256
_HANDSHAKE_WITHIN = 10.0
_BUFFER = 256 << 10

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def server_context(key: ServingKey, identity: Identity) -> ssl.SSLContext:
    """TLS towards the provider. Only to be called after the thaw (random state)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(key.cert, key.key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=identity.client_ca)
    context.set_alpn_protocols([FEED, "http/1.1"])
    context.num_tickets = 0  # every connection proves itself anew
    return context


def kubelet_context(pki: LocalPKI) -> ssl.SSLContext:
    """TLS towards the kubelet: its certificate and ours are of the guest-local CA. Only after the thaw."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cafile=pki.ca_cert)
    context.load_cert_chain(pki.client_cert, pki.client_key)
    context.set_alpn_protocols(["http/1.1"])
    return context


class ProviderPort:
    """Listens on the pod VM's address."""

    def __init__(self, context: ssl.SSLContext, feed: Serve, other: Serve) -> None:
        self._context = context
        self._feed = feed
        self._other = other
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes = 0
        self._connections: set[asyncio.Task[None]] = set()

    def listen(self, host: str, port: int) -> None:
        """Start serving. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=128)
        self._socket.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._socket))

    @property
    def port(self) -> int:
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    async def close(self) -> None:
        """Stop listening and cut every connection but the one this is called from."""
        tasks = {task for task in (self._accepting, *self._connections) if task is not None}
        tasks.discard(asyncio.current_task())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listening)
            except OSError as error:  # out of file descriptors, or the peer went away in the queue
                log.warning("accept failed: %s", error)
                await asyncio.sleep(0.1)
                continue
            if self._handshakes >= _HANDSHAKES or len(self._connections) >= _CONNECTIONS:
                log.warning("connection of %s is one too many", peer[0])
                connection.close()
                continue
            task = asyncio.create_task(self._serve(connection, str(peer[0])))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: socket.socket, peer: str) -> None:
        try:
            reader, writer = await self._handshake(connection)
        except (OSError, ssl.SSLError, TimeoutError) as error:
            log.info("%s: no TLS: %s", peer, error)
            connection.close()
            return
        tls = writer.get_extra_info("ssl_object")
        feed = tls.selected_alpn_protocol() == FEED
        try:
            await (self._feed if feed else self._other)(reader, writer)
        except (OSError, EOFError, TimeoutError, ssl.SSLError) as error:
            log.info("%s: %s connection ended: %s", peer, "feed" if feed else "kubelet", error or type(error).__name__)
        except Exception as error:
            log.warning("%s: connection closed: %s: %s", peer, type(error).__name__, error)
        finally:
            writer.close()

    async def _handshake(self, connection: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """TLS on an accepted socket, which asyncio's own servers would accept without bound."""
        loop = asyncio.get_running_loop()
        for option, value in ((socket.TCP_NODELAY, 1), (socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10)):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        reader = asyncio.StreamReader(limit=_BUFFER, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        self._handshakes += 1
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=_HANDSHAKE_WITHIN,
            )
        finally:
            self._handshakes -= 1
        with contextlib.suppress(AttributeError):
            transport.set_write_buffer_limits(high=_BUFFER)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
