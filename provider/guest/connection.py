"""Frames both ways over one TLS connection to a guest, with a limit to silence. What they say is `link`'s business."""

import asyncio
from typing import Any

from provider.errors import GuestUnreachable
from provider.guest import frames

PING_EVERY = 10.0
SILENT = 30.0
"""Seconds without a frame after which the guest is taken for unreachable; it answers each ping."""

_WORDS = 300  # characters


class Connection:
    """One connection; what fails raises GuestUnreachable."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sending = asyncio.Lock()

    async def send(self, message: dict[str, Any]) -> None:
        try:
            data = frames.encode(message)
        except ValueError as error:
            raise GuestUnreachable(f"the guest cannot be sent {message['type']}: {error}") from error
        await self.write(data)

    async def write(self, data: bytes) -> None:
        """A frame as it is."""
        async with self._sending:
            self._writer.write(data)
            try:
                async with asyncio.timeout(SILENT):
                    await self._writer.drain()
            except (OSError, TimeoutError) as error:
                raise GuestUnreachable("the guest does not take what it is sent") from error

    async def receive(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(SILENT):
                return await frames.read(self._reader)
        except TimeoutError as error:
            raise GuestUnreachable(f"the guest was silent for {SILENT:.0f} s") from error

    async def ping(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY)
            await self.send({"type": "ping"})


def told(frame: dict[str, Any], *fields: str) -> str:
    """A guest's own words, as many as a log line or a message for people can bear."""
    return ": ".join(str(frame.get(field))[:_WORDS] for field in fields)
