"""The same TCP port on both sides of a namespace: `python -m e2e.lab.forward --into NAME 40001 40002 …`.

It listens on 127.0.0.1 where it is started and connects to the same ports of 127.0.0.1 in the namespace it is told. A
socket belongs to the namespace that it was made in, so the whole trick is the order: listen first, then enter. With
`--from NAME` it is the other way round (the ports are offered inside; a cluster that runs outside is reached so).
"""

import argparse
import asyncio
import contextlib
import os
import socket
from pathlib import Path

from e2e.lab import netns

_CHUNK = 256 * 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.lab.forward", description="Forwards TCP ports into a namespace."
    )
    direction = parser.add_mutually_exclusive_group(required=True)
    direction.add_argument("--into", metavar="NAME", help="listen here, connect in namespace NAME")
    direction.add_argument("--from", dest="source", metavar="NAME", help="listen in namespace NAME, connect here")
    parser.add_argument("--ready", type=Path, required=True, help="file that is written when the ports are open")
    parser.add_argument("ports", type=int, nargs="+")
    options = parser.parse_args()
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if options.source:
        netns.enter(options.source)
    listening = [socket.create_server(("127.0.0.1", port), backlog=512) for port in options.ports]
    if options.into:
        netns.enter(options.into)
    else:
        netns.enter_descriptor(home)
    os.close(home)
    options.ready.write_text("ready\n")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(listening))


async def _serve(listening: list[socket.socket]) -> None:
    servers = [await asyncio.start_server(_connected, sock=one, limit=_CHUNK) for one in listening]
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    port = writer.get_extra_info("sockname")[1]
    try:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port, limit=_CHUNK)
    except OSError:
        writer.transport.abort()  # nobody listens there: say it as a reset, which is what a refused port comes close to
        return
    await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
    for one in (writer, there_writer):
        one.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction; hands on the end of the stream, so that half-closed connections work."""
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.transport.abort()


if __name__ == "__main__":
    main()
