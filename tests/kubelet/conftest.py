"""The real kubelet API server on loopback, and a guest's kubelet that says what a test wants it to say."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from provider.errors import KubeUnavailable
from provider.guest.dial import fingerprint
from provider.kube.reviews import UserInfo
from provider.kubelet.authentication import Authenticator
from provider.kubelet.authorization import Authorizer
from provider.kubelet.certificate import KeyPair
from provider.kubelet.directory import GuestEndpoint
from provider.kubelet.server import KubeletServer
from provider.kubelet.tls import ServingTLS
from tests.builders import make_pod

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class FakeGuest:
    """A TLS server in the place of a guest; `heads` are the request heads that reached it."""

    answer: Answer | None = None
    heads: list[bytes] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            assert self.answer is not None
            await self.answer(reader, writer)
        self.gone.set()
        writer.close()


@dataclass(slots=True)
class Reviews:
    """Users by token, and the rights (verb, subresource) of all of them."""

    users: dict[str, UserInfo] = field(default_factory=dict)
    rights: set[tuple[str, str]] = field(default_factory=set)
    down: bool = False

    async def review_token(self, token: str) -> UserInfo | None:
        if self.down:
            raise KubeUnavailable("down")
        return self.users.get(token)

    async def review_access(self, user: UserInfo, verb: str, resource: str, subresource: str, name: str) -> bool:
        if self.down:
            raise KubeUnavailable("down")
        return (verb, subresource) in self.rights


@dataclass(slots=True)
class Directory:
    """One Pod, default/web."""

    endpoint: GuestEndpoint

    def find(self, namespace: str, name: str, uid: str | None) -> GuestEndpoint | None:
        return self.endpoint if (namespace, name) == ("default", "web") else None

    def pods(self) -> Sequence[dict[str, Any]]:
        return [self.endpoint.pod]

    def endpoints(self) -> Sequence[GuestEndpoint]:
        return [self.endpoint]


@dataclass(slots=True)
class Served:
    """What a test has to do with."""

    port: int
    tls: ssl.SSLContext
    guest: FakeGuest
    reviews: Reviews
    directory: Directory
    client_ca: trustme.CA
    ca: trustme.CA  # of our certificate
    serving_tls: ServingTLS

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Stream]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def ask(
        self, path: str, method: str = "GET", token: str | None = "good", **headers: str
    ) -> tuple[int, bytes]:
        """Status and body; the server closes after one answer."""
        lines = [f"{method} {path} HTTP/1.1", "Host: node"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        async with self.connected() as (reader, writer):
            writer.write("\r\n".join([*lines, "", ""]).encode())
            answer = await reader.read()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    ca = trustme.CA()
    ours, theirs = ca.issue_cert("127.0.0.1"), ca.issue_cert("guest")
    trusted = tmp_path / "client-ca.crt"
    client_ca = trustme.CA()
    trusted.write_bytes(client_ca.cert_pem.bytes())
    serving_tls = ServingTLS(trusted, lambda: datetime.now(UTC))
    serving_tls.use(pair_of(ours))
    guest_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.configure_cert(guest_tls)
    guest = FakeGuest()
    listening = await asyncio.start_server(guest.accept, "127.0.0.1", 0, ssl=guest_tls)
    dialing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    dialing.check_hostname, dialing.verify_mode = False, ssl.CERT_NONE
    pin = fingerprint(ssl.PEM_cert_to_DER_cert(theirs.cert_chain_pems[0].bytes().decode()))
    pod = make_pod()
    pod["metadata"]["creationTimestamp"] = "2999-01-01T00:00:00Z"  # after the server has begun
    endpoint = GuestEndpoint("127.0.0.1", listening.sockets[0].getsockname()[1], pin, dialing, pod)
    reviews = Reviews({"good": UserInfo("jane")}, {("get", "proxy"), ("create", "proxy")})
    directory = Directory(endpoint)
    server = KubeletServer(
        address="127.0.0.1",
        port=0,
        tls=serving_tls.context,
        authenticator=Authenticator(reviews),
        authorizer=Authorizer(reviews, "vch"),
        guests=directory,
        node="vch",
    )
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    client = ssl.create_default_context()
    ca.configure_trust(client)
    yield Served(server.port, client, guest, reviews, directory, client_ca, ca, serving_tls)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    listening.close()


def pair_of(issued: trustme.LeafCert) -> KeyPair:
    return KeyPair(b"".join(pem.bytes() for pem in issued.cert_chain_pems), issued.private_key_pem.bytes())
