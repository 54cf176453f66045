"""A small HTTP/1.1 server on asyncio streams for one trusted client on loopback: the guest's kubelet or kube-proxy.

The pod shares this loopback (for now), so everything before authentication is bounded: connections, head, time.
Keep-alive, Content-Length and chunked bodies, chunked streams out. Not: TLS, HTTP/2, compression, pipelining.
"""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import status

log = logging.getLogger(__name__)

_HEAD_LIMIT = 32 << 10
_BODY_LIMIT = 3 << 20  # etcd's request limit is 1.5 MiB; the API server's own is 3 MiB
_CONNECTIONS = 128
_REQUEST_WITHIN = 30.0
_IDLE = 300.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body read."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body decoded. Raises ValueError."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: one value, or a stream of values written as they come."""

    code: int
    value: Any = None
    stream: AsyncGenerator[Any, None] | None = None
    headers: dict[str, str] = field(default_factory=dict)


class HTTPError(Exception):
    """Answer with this code and a Status, then close the connection if it cannot be trusted to go on."""

    def __init__(self, code: int, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.headers = headers or {}


Handler = Callable[[Request], Awaitable[Response]]
Authorizer = Callable[[dict[str, str]], bool]


class HTTPServer:
    """Serves `handler` to whom `authorized` lets in, by the request's headers (before the body is read)."""

    def __init__(self, handler: Handler, authorized: Authorizer) -> None:
        self._handler = handler
        self._authorized = authorized
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises OSError."""
        self._server = await asyncio.start_server(self._accepted, host, port, limit=_HEAD_LIMIT)

    async def listen(self, listening: socket.socket) -> None:
        """Serve a socket that listens already, in whatever network namespace it was made."""
        self._server = await asyncio.start_server(self._accepted, sock=listening, limit=_HEAD_LIMIT)

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= _CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # the client is gone, or we are going
        except Exception:
            log.exception("request failed")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wait = _REQUEST_WITHIN
        while True:
            try:
                async with asyncio.timeout(wait):
                    head = await _read_head(reader)
                method, path, query, headers = head
                if not self._authorized(headers):
                    raise HTTPError(401, "a token is required")
                async with asyncio.timeout(_REQUEST_WITHIN):
                    body = await _read_body(reader, headers)
            except HTTPError as error:
                await _answer(writer, _error(error), close=True)
                return
            try:
                response = await self._handler(Request(method, path, query, headers, body))
            except HTTPError as error:
                response = _error(error)
            except Exception:
                log.exception("%s %s failed", method, path)
                response = _error(HTTPError(500, "the agent failed; see its log"))
            log.debug("%s %s %s: %d", method, path, query, response.code)
            if response.stream is not None:
                await _stream(reader, writer, response)
                return
            closing = headers.get("connection", "").lower() == "close"
            await _answer(writer, response, close=closing)
            if closing:
                return
            wait = _IDLE


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], dict[str, str]]:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        raise HTTPError(400, f"request head is over {_HEAD_LIMIT} bytes") from None
    first, *lines = raw[:-4].decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise HTTPError(400, "not an HTTP/1.1 request")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise HTTPError(400, "malformed header")
        headers[name.strip().lower()] = value.strip()
    target = urlsplit(parts[1])
    return parts[0], target.path, dict(parse_qsl(target.query, keep_blank_values=True)), headers


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _read_chunks(reader)
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise HTTPError(400, "Content-Length is not a number")
    if int(length) > _BODY_LIMIT:
        raise HTTPError(413, f"body is over {_BODY_LIMIT} bytes")
    return await reader.readexactly(int(length))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    try:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            if size < 0 or len(body) + size > _BODY_LIMIT:
                raise HTTPError(413, f"body is over {_BODY_LIMIT} bytes")
            body += (await reader.readexactly(size + 2))[:-2]
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass  # trailers
    except (ValueError, asyncio.LimitOverrunError):
        raise HTTPError(400, "malformed chunked body") from None
    return bytes(body)


def _error(error: HTTPError) -> Response:
    return Response(error.code, status.failure(error.code, str(error)), headers=error.headers)


def encode(value: Any) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _head(response: Response, extra: str) -> bytes:
    lines = [f"HTTP/1.1 {response.code} {_phrase(response.code)}", "Content-Type: application/json", extra]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "Unknown"


async def _answer(writer: asyncio.StreamWriter, response: Response, *, close: bool) -> None:
    body = encode(response.value)
    extra = f"Content-Length: {len(body)}" + ("\r\nConnection: close" if close else "")
    writer.write(_head(response, extra) + body)
    await writer.drain()


async def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, response: Response) -> None:
    """Write values as they come until the stream ends or the client hangs up, whichever is first."""
    assert response.stream is not None
    writer.write(_head(response, "Transfer-Encoding: chunked\r\nConnection: close"))
    pump = asyncio.create_task(_pump(writer, response.stream))
    hang_up = asyncio.create_task(reader.read(1))
    try:
        await asyncio.wait((pump, hang_up), return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            pump.result()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    finally:
        for task in (pump, hang_up):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task


async def _pump(writer: asyncio.StreamWriter, stream: AsyncGenerator[Any, None]) -> None:
    async with contextlib.aclosing(stream):
        async for value in stream:
            line = encode(value) + b"\n"
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            await writer.drain()
