"""The kubelet API's server: one TLS connection, one request, then the end.

Thin: it asks `authentication`, `authorization` and `routes`, and hands over to `splice` or `scrape`. Every doubt is an
error to the client, never a service. A connection is not used for a second request: after an upgrade there is none to
come, and `kubectl` and the API server open one each.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable

import structlog

from provider.errors import GuestError, KubeError
from provider.guest.dial import dial
from provider.kubelet import merge, routes
from provider.kubelet.authentication import Authenticator
from provider.kubelet.authorization import Authorizer
from provider.kubelet.directory import GuestDirectory
from provider.kubelet.head import BadHead, Request, read_request, response_head
from provider.kubelet.node_series import Machine
from provider.kubelet.routes import Action, Route, Unroutable
from provider.kubelet.scrape import Scrape
from provider.kubelet.splice import splice
from provider.metrics import kubelet_api as metrics

log = structlog.get_logger()

_CONNECTIONS = 1024
_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"


class _Answer(Exception):
    """A request ends here, with this status and text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KubeletServer:
    """Serves one virtual node until `serve` is cancelled. Port 0: one that is free."""

    def __init__(
        self,
        *,
        address: str,
        port: int,
        tls: ssl.SSLContext,
        authenticator: Authenticator,
        authorizer: Authorizer,
        guests: GuestDirectory,
        node: str,
        machine: Callable[[], Machine] = Machine,
    ) -> None:
        self.ready = asyncio.Event()
        self.port = port
        """Where it listens once it is ready."""
        self._address = address
        self._tls = tls
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._guests = guests
        self._node = node
        self._scrape = Scrape(node, guests, machine)
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Raises OSError when the address cannot be listened on."""
        server = await asyncio.start_server(
            self._accept, self._address, self.port, ssl=self._tls, ssl_handshake_timeout=10, reuse_address=True
        )
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        try:
            await server.serve_forever()
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= _CONNECTIONS:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            await self._serve_one(reader, writer)
        except (OSError, EOFError):
            pass  # the client went away
        finally:
            self._connections.discard(task)
            with contextlib.suppress(OSError, TimeoutError):
                writer.close()
                async with asyncio.timeout(5):
                    await writer.wait_closed()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await read_request(reader)
        except BadHead as error:
            await _respond(writer, error.status, _TEXT, str(error).encode())
            return
        began, wanted = time.monotonic(), routes.route(request.method, request.target)
        status = await self._answer(request, wanted, (reader, writer))
        endpoint = wanted.action.value if isinstance(wanted, Route) else "other"
        metrics.answered(self._node, endpoint, request.method, status, time.monotonic() - began)

    async def _answer(
        self, request: Request, wanted: Route | Unroutable, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> int:
        """The status that the client got."""
        writer = client[1]
        try:
            admitted = await self._admit(request, wanted, writer)
            if admitted.namespace:
                return await self._to_guest(request, admitted, client)
            content_type, body = await self._node_wide(admitted.action)
            status, text = 200, body if request.method != "HEAD" else b""
        except _Answer as answer:
            status, content_type, text = answer.status, _TEXT, str(answer).encode()
        except BadHead as error:
            status, content_type, text = error.status, _TEXT, str(error).encode()
        except GuestError as error:
            status, content_type, text = 502, _TEXT, f"{error.reason}: {error}".encode()
        await _respond(writer, status, content_type, text)
        return status

    async def _admit(self, request: Request, wanted: Route | Unroutable, writer: asyncio.StreamWriter) -> Route:
        """The route of a request that may be served; raises _Answer for all others."""
        try:
            user = await self._authenticator.user(request, writer.get_extra_info("ssl_object"))
            if user is None:
                raise _Answer(401, "Unauthorized")
            allowed = await self._authorizer.allows(user, wanted)
        except KubeError as error:
            log.warning("cannot decide who may use the kubelet API", reason=error.reason, error=str(error))
            raise _Answer(500, "the API server could not be asked; try again") from error
        if not allowed:
            right = f"{wanted.verb} nodes/{wanted.subresources[-1]}"
            raise _Answer(403, f"Forbidden (user={user.username}, verb and resource={right}, node={self._node})")
        if isinstance(wanted, Unroutable):
            raise _Answer(wanted.status, wanted.message)
        return wanted

    async def _to_guest(
        self, request: Request, route: Route, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> int:
        """The status that the client got."""
        endpoint = self._guests.find(route.namespace, route.pod, route.uid)
        if endpoint is None:
            raise _Answer(
                404, f"pod {route.namespace}/{route.pod} is not found on {self._node}, or has not started yet"
            )
        guest = await dial(endpoint.address, endpoint.port, endpoint.pin, endpoint.ssl_context)
        try:
            with metrics.stream(self._node, route.action.value) as flows:
                return await splice(request, route, client, guest, flows)
        finally:
            guest[1].transport.abort()

    async def _node_wide(self, action: Action) -> tuple[str, bytes]:
        match action:
            case Action.HEALTHZ:
                return _TEXT, b"ok"
            case Action.PODS:
                return _JSON, merge.pod_list(self._guests.pods())
            case Action.RUNNING_PODS:
                return _JSON, merge.pod_list(endpoint.pod for endpoint in self._guests.endpoints())
        return await self._scrape.answer(action)


async def _respond(writer: asyncio.StreamWriter, status: int, content_type: str, body: bytes) -> None:
    headers = [("content-type", content_type), ("content-length", str(len(body)))]
    writer.write(response_head(status, headers) + body)
    with contextlib.suppress(OSError):
        await writer.drain()
