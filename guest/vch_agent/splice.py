"""Bytes between the provider and the kubelet's own API, both ways, unread: exec, attach, port-forward, logs.

The agent ends the provider's TLS and opens its own to the kubelet, whose certificate it checks. When one side ends,
what is under way to the other is delivered and then both are closed: TLS on asyncio has no half-close, and the
kubelet's API (HTTP/1.1 with SPDY or WebSocket inside) needs none, as it ends its streams in band.
"""

import asyncio
import contextlib
import ssl

_CHUNK = 64 << 10
_BUFFER = 256 << 10
"""Bytes written but not yet taken by a slow side; reading from the fast side stops there."""
_CLOSE_WITHIN = 10.0
_CONNECT_WITHIN = 10.0


async def kubelet(context: ssl.SSLContext, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A new connection to the kubelet's API. Raises OSError, TimeoutError."""
    async with asyncio.timeout(_CONNECT_WITHIN):
        return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1", limit=_BUFFER)


async def splice(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter], other: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    """Copy both ways until either side ends, then close both."""
    (one_reader, one_writer), (other_reader, other_writer) = one, other
    copies = [
        asyncio.create_task(_copy(one_reader, other_writer)),
        asyncio.create_task(_copy(other_reader, one_writer)),
    ]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in copies:
            task.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        await asyncio.gather(close(one_writer), close(other_writer))


async def close(writer: asyncio.StreamWriter) -> None:
    """Deliver what was written, then close; a peer that does not take it in time is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(_CLOSE_WITHIN):
            await writer.wait_closed()
    except (OSError, TimeoutError, ssl.SSLError):
        writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.set_write_buffer_limits(high=_BUFFER)
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
