"""One bounded GET from a guest's kubelet. For node-wide answers only: what is streamed to a client goes by `splice`."""

import asyncio

import h11

from provider.errors import GuestUnreachable
from provider.guest.dial import dial
from provider.kubelet.directory import GuestEndpoint

LIMIT = 8 << 20  # bytes; a guest's metrics are some 100 kB
WITHIN = 5.0  # seconds for the whole answer: half of what Prometheus and metrics-server wait for all of them


async def fetch(endpoint: GuestEndpoint, target: str) -> bytes:
    """The body of a 200. Raises GuestError."""
    try:
        async with asyncio.timeout(WITHIN):
            reader, writer = await dial(endpoint.address, endpoint.port, endpoint.pin, endpoint.ssl_context)
            try:
                return await _get(reader, writer, target)
            finally:
                writer.transport.abort()
    except TimeoutError as error:
        raise GuestUnreachable(f"the guest's kubelet did not answer {target} within {WITHIN:.0f} s") from error
    except OSError as error:
        raise GuestUnreachable(f"the guest's kubelet did not answer {target}: {error}") from error


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str) -> bytes:
    connection = h11.Connection(h11.CLIENT)
    headers = [("Host", "localhost"), ("Connection", "close")]
    writer.write(connection.send(h11.Request(method="GET", target=target, headers=headers)) or b"")
    connection.send(h11.EndOfMessage())
    await writer.drain()
    body = bytearray()
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(64 << 10))
            elif isinstance(event, h11.Response) and event.status_code != 200:
                raise GuestUnreachable(f"the guest's kubelet answered {target} with {event.status_code}")
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > LIMIT:
                    raise GuestUnreachable(f"the guest's answer to {target} exceeds {LIMIT} bytes")
            elif isinstance(event, h11.EndOfMessage):
                return bytes(body)
            elif isinstance(event, h11.ConnectionClosed):
                raise GuestUnreachable(f"the guest's answer to {target} was cut off")
    except h11.RemoteProtocolError as error:
        raise GuestUnreachable(f"the guest's answer to {target} is no HTTP: {error}") from error
