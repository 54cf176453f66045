"""A TCP port of this network namespace that leads to another one, as long as it is wanted."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def relayed(port: int, to: int) -> Iterator[None]:
    """Connections to `port` of 127.0.0.1 come out at `to`. It runs in a thread: a test itself only waits."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(
        asyncio.start_server(lambda reader, writer: _connected(reader, writer, to), "127.0.0.1", port)
    )
    thread = threading.Thread(target=loop.run_forever, name=f"relay {port}")
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(_cancel_others())
        loop.close()


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: int) -> None:
    there_reader, there_writer = await asyncio.open_connection("127.0.0.1", to)
    try:
        await asyncio.gather(_pump(reader, there_writer), _pump(there_reader, writer))
    finally:
        writer.close()
        there_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()
