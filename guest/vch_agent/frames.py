"""Frames of `vch-feed/1`: a 4-byte big-endian length, then a JSON object in UTF-8. Both directions."""

import asyncio
import json
import struct
from typing import Any

LIMIT = 8 << 20
"""A longer frame ends the connection."""
_LENGTH = struct.Struct(">I")


class BadFrame(Exception):
    """The peer does not speak the protocol."""


def encode(frame: dict[str, Any]) -> bytes:
    """A frame ready to be sent. Raises BadFrame when it is over the limit."""
    body = json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()
    if len(body) > LIMIT:
        raise BadFrame(f"a {frame.get('type')} frame of {len(body)} bytes is over {LIMIT}")
    return _LENGTH.pack(len(body)) + body


async def read(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next frame. Raises BadFrame, IncompleteReadError at the end of the connection."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > LIMIT:
        raise BadFrame(f"a frame of {length} bytes is over {LIMIT}")
    try:
        frame = json.loads(await reader.readexactly(length))
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"frame is not JSON: {error}") from error
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise BadFrame("frame must be an object with a type")
    return frame
