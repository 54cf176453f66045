"""Frames: whatever bytes a guest sends are a message or the end of its connection."""

import asyncio
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vch_agent import frames as agent_frames

from provider.errors import GuestUnreachable
from provider.guest import frames

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
MESSAGES = st.dictionaries(st.text(), VALUES, max_size=4)


async def read_all(module: Any, data: bytes, count: int = 1) -> list[dict[str, Any]]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return [await module.read(reader) for _ in range(count)]


def payload(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


@given(st.lists(MESSAGES, min_size=1, max_size=3))
def test_messages_arrive_as_they_were_sent_and_in_order(messages: list[dict]) -> None:
    data = b"".join(map(frames.encode, messages))
    assert asyncio.run(read_all(frames, data, len(messages))) == messages


@given(MESSAGES.map(lambda message: message | {"type": "any"}))
def test_both_ends_speak_the_same(message: dict) -> None:
    assert asyncio.run(read_all(agent_frames, frames.encode(message))) == [message]
    assert asyncio.run(read_all(frames, agent_frames.encode(message))) == [message]


def test_both_ends_have_the_same_limit() -> None:
    assert frames.LIMIT == agent_frames.LIMIT


@given(st.binary() | st.binary().map(payload) | st.text(alphabet='{}[]":,1').map(str.encode).map(payload))
def test_any_bytes_are_a_message_or_the_end(data: bytes) -> None:
    try:
        (message,) = asyncio.run(read_all(frames, data))
    except GuestUnreachable:
        return
    assert isinstance(message, dict)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "closed"),
        (b"\0\0", "closed"),
        (payload(b"{}")[:-1], "closed"),
        (struct.pack(">I", frames.LIMIT + 1), "limit"),
        (b"\xff\xff\xff\xff", "limit"),
        (payload(b""), "no JSON"),
        (payload(b"\xff"), "no JSON"),
        (payload(b"[" * 100_000), "no JSON"),
        (payload(b"1" * 5000), "no JSON"),
        (payload(b"[]"), "no object"),
        (payload(b"null"), "no object"),
        (payload(b'"text"'), "no object"),
    ],
)
async def test_what_is_no_message_ends_the_connection_and_says_why(data: bytes, why: str) -> None:
    with pytest.raises(GuestUnreachable, match=why):
        await read_all(frames, data)


async def test_a_frame_that_is_too_long_is_not_even_read() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(struct.pack(">I", frames.LIMIT + 1))  # and no end: to read on would be to wait for ever
    async with asyncio.timeout(30):
        with pytest.raises(GuestUnreachable, match="limit"):
            await frames.read(reader)


async def test_the_longest_frame_passes() -> None:
    room = frames.LIMIT - len(json.dumps({"x": ""}, separators=(",", ":")))
    message = {"x": "y" * room}
    assert await read_all(frames, frames.encode(message)) == [message]
    with pytest.raises(ValueError, match="limit"):
        frames.encode({"x": "y" * (room + 1)})
