"""The head of a request or a response, read off a stream and bounded. Nothing behind the head is consumed for good.

h11 parses; it is the one HTTP parser in Python that can hand over a connection in the middle (an `Upgrade: SPDY/3.1` is
no WebSocket, and other servers cannot let go of it).
"""

import asyncio
from dataclasses import dataclass

import h11

REQUEST_LIMIT = 32 << 10
RESPONSE_LIMIT = 16 << 10
HEAD_WITHIN = 30.0  # seconds for a peer to send its head


class BadHead(Exception):
    """What came is no HTTP/1.1 head, or is too large, or took too long; `status` is the answer it deserves."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. `early` is what came behind it already."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    early: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str | None:
        """The value of a header that may be given once only. Raises BadHead."""
        values = self.all(name)
        if len(values) > 1:
            raise BadHead(f"the header {name} is given {len(values)} times")
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response; `early` is what came behind it already."""

    status: int
    headers: tuple[tuple[str, str], ...]
    early: bytes


async def read_request(reader: asyncio.StreamReader) -> Request:
    """Raises BadHead, EOFError (nothing was asked)."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_LIMIT)
    event = await _event(connection, reader)
    if not isinstance(event, h11.Request):
        raise EOFError
    request = Request(
        method=event.method.decode("ascii"),
        target=event.target.decode("ascii"),
        headers=_headers(event),
        early=connection.trailing_data[0],
    )
    if request.all("transfer-encoding") and request.all("content-length"):
        raise BadHead("transfer-encoding and content-length are given both")
    return request


async def read_response(reader: asyncio.StreamReader, method: str) -> Response:
    """The first response that is not 100 Continue. Raises BadHead, EOFError."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=RESPONSE_LIMIT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "guest"), ("Upgrade", "any")]))
    connection.send(h11.EndOfMessage())
    while True:
        event = await _event(connection, reader)
        if isinstance(event, h11.InformationalResponse) and event.status_code != 101:
            continue
        if isinstance(event, h11.Response | h11.InformationalResponse):
            return Response(event.status_code, _headers(event), connection.trailing_data[0])
        raise EOFError


async def _event(connection: h11.Connection, reader: asyncio.StreamReader) -> object:
    try:
        async with asyncio.timeout(HEAD_WITHIN):
            while (event := connection.next_event()) is h11.NEED_DATA:
                connection.receive_data(await reader.read(16 << 10))
    except h11.RemoteProtocolError as error:
        raise BadHead(str(error), error.error_status_hint) from error
    except TimeoutError as error:
        raise BadHead(f"no head within {HEAD_WITHIN:.0f} s", 408) from error
    return event


def _headers(event: h11.Request | h11.Response | h11.InformationalResponse) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers)


def response_head(status: int, headers: list[tuple[str, str]]) -> bytes:
    """The bytes of a response's head, ours; the connection ends with the response."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    connection.next_event()
    data = connection.send(h11.Response(status_code=status, headers=headers))
    return data or b""
