"""Frames of the feed protocol: a length of four bytes, big endian, and as many bytes of UTF-8 JSON.

The same as `guest/vch_agent/frames.py` on the other side, which must not import from here.
"""

import asyncio
import json
import struct
from typing import Any

from provider.errors import GuestUnreachable

LIMIT = 8 << 20
"""Bytes of one frame; larger than any ConfigMap or Secret (1 MiB), with room for a snapshot of several."""

ALPN = "vch-feed/1"

_LENGTH = struct.Struct(">I")


def encode(message: dict[str, Any]) -> bytes:
    """Raises ValueError for a message over the limit."""
    return packed(json.dumps(message, separators=(",", ":")).encode())


def packed(payload: bytes) -> bytes:
    """A message that is JSON already. Raises ValueError for one over the limit."""
    if len(payload) > LIMIT:
        raise ValueError(f"a frame of {len(payload)} bytes, the limit is {LIMIT}")
    return _LENGTH.pack(len(payload)) + payload


async def read(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next message. Raises GuestUnreachable at the end of the stream and for what is no message."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > LIMIT:
            raise GuestUnreachable(f"the guest sent a frame of {length} bytes, the limit is {LIMIT}")
        message = json.loads(await reader.readexactly(length))
    except (OSError, asyncio.IncompleteReadError) as error:
        raise GuestUnreachable("the guest closed the connection") from error
    except (ValueError, RecursionError) as error:
        raise GuestUnreachable("the guest sent a frame that is no JSON") from error
    if not isinstance(message, dict):
        raise GuestUnreachable("the guest sent a frame that is no object")
    return message
