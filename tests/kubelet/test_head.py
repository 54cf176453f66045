"""The head of a request or an answer: understood in one way only, or not at all."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.kubelet import head
from provider.kubelet.head import REQUEST_LIMIT, RESPONSE_LIMIT, BadHead, Request, Response, read_request, read_response


async def read(text: bytes) -> Request:
    reader = asyncio.StreamReader()
    reader.feed_data(text)
    reader.feed_eof()
    return await read_request(reader)


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 3 * REQUEST_LIMIT + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * REQUEST_LIMIT + b"\r\n",
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /" + b"x" * 3 * REQUEST_LIMIT + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_a_head_that_can_be_read_in_two_ways_is_no_head(text: bytes) -> None:
    with pytest.raises((BadHead, EOFError)):
        await read(text)


async def test_what_comes_behind_a_head_is_kept() -> None:
    request = await read(b"POST /exec/a/b/c HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nEARLY")
    assert (request.method, request.early) == ("POST", b"EARLY")


async def test_a_peer_that_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "HEAD_WITHIN", 0.01)
    reader = asyncio.StreamReader()
    reader.feed_data(b"GET / HTTP/1.1\r\n")
    with pytest.raises(BadHead) as bad:
        await read_request(reader)
    assert bad.value.status == 408


async def test_a_head_that_is_too_large_is_told_so() -> None:
    with pytest.raises(BadHead) as bad:
        await read(b"GET / HTTP/1.1\r\nX: " + b"x" * 3 * REQUEST_LIMIT)
    assert bad.value.status == 431


async def response(text: bytes) -> Response:
    reader = asyncio.StreamReader()
    reader.feed_data(text)
    reader.feed_eof()
    return await read_response(reader, "POST")


async def test_what_a_guest_says_before_its_answer_is_passed_over() -> None:
    found = await response(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody")
    assert (found.status, found.early) == (200, b"body")


async def test_what_comes_behind_an_upgrade_is_the_tunnels() -> None:
    found = await response(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n\x80\x03")
    assert (found.status, found.early) == (101, b"\x80\x03")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x15\x03\x01\x00\x02",
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 3 * RESPONSE_LIMIT + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_a_guest_that_gives_no_answer_is_known_by_it(text: bytes) -> None:
    with pytest.raises((BadHead, EOFError)):
        await response(text)


@given(st.binary() | st.text(alphabet="GET /HTP1.0:\r\n Host").map(str.encode))
def test_no_bytes_are_a_defect(text: bytes) -> None:
    for parse in (read, response):
        with contextlib.suppress(BadHead, EOFError):
            asyncio.run(parse(text))


async def test_a_header_that_counts_may_be_given_once() -> None:
    request = await read(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: b\r\nAuthorization: c\r\n\r\n")
    with pytest.raises(BadHead):
        request.one("authorization")
