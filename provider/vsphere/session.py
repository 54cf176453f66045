"""A login at vCenter, and the one hop from asyncio to what blocks: pyVmomi, and http.client where SOAP has no method.

Nowhere else is a thread used for vSphere. Calls have time-outs at the socket: pyVmomi sets none by itself, and a
connection that silently died would hang for good. A session that vCenter dropped is renewed once for each call.
"""

import asyncio
import contextlib
import functools
import hashlib
import hmac
import http.client
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pyVmomi import SoapAdapter, vim

from provider.errors import CertificateMismatch, VCenterUnreachable
from provider.metrics import vcenter as metrics
from provider.vsphere import faults

T = TypeVar("T")

API_VERSION = "vim.version.version12"
"""vSphere 6.7, the first with InstantClone_Task: every later vCenter speaks it too, and nothing newer is used."""

CONNECT_TIMEOUT = 15.0
_IDLE_POOL = 300
_SHA1_DIGITS = 40

_WRITES = frozenset({"ImportVApp", "MarkAsTemplate", "DeployLibraryItem"})
"""What changes something, besides everything that is called …_Task."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A vCenter and who logs in. The password is in no repr."""

    server: str  # host[:port]
    username: str
    password: str = field(repr=False)
    thumbprint: str | None = None
    ca_pem: str | None = None

    @property
    def host(self) -> str:
        return urlsplit(f"//{self.server}").hostname or ""

    @property
    def port(self) -> int:
        """Raises ValueError for a port that is none."""
        return urlsplit(f"//{self.server}").port or 443


def unfenced() -> None:
    """The fence of a session that writes whenever it is asked to."""


class Session:
    """One login. `threads` calls at a time; `timeout` seconds for each.

    `fence` is called in the thread immediately before each call that changes something; what it raises ends the call.
    """

    def __init__(
        self, endpoint: Endpoint, *, threads: int, timeout: float, fence: Callable[[], None] = unfenced
    ) -> None:
        self.endpoint = endpoint
        self._fence = fence
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"vcenter-{endpoint.host}")
        self._stub = _stub(endpoint, pool=threads, timeout=timeout)
        self._login_lock = asyncio.Lock()
        self._logins = 0
        self._closed = False

    @property
    def content(self) -> Any:
        """ServiceInstance.content, without a call of its own after the first; use within `call` only."""
        return vim.ServiceInstance("ServiceInstance", self._stub).content

    def object(self, kind: type[T], moref: str) -> T:
        """A managed object on this session; no call."""
        return kind(moref, self._stub)  # type: ignore[call-arg]

    async def login(self) -> None:
        """Raises InvalidLogin, CertificateMismatch, VCenterUnreachable."""
        async with self._login_lock:
            await self._run("Login", self._login)
            self._logins += 1

    async def call(self, method: str, work: Callable[[], T]) -> T:
        """Runs blocking calls on a thread. `method` is for metrics and the fence. Raises VSphereError."""
        logins = self._logins
        try:
            return await self._run(method, work)
        except _Expired:
            async with self._login_lock:
                if self._logins == logins:  # nobody has renewed it meanwhile
                    await self._run("Login", self._login)
                    self._logins += 1
            try:
                return await self._run(method, work)
            except _Expired as again:
                raise VCenterUnreachable("vCenter drops the session as soon as it is made") from again

    def check(self) -> None:
        """Within work that takes long: raises what the fence raises, or VCenterUnreachable after `close`."""
        if self._closed:
            raise VCenterUnreachable("the connection to vCenter is closed")
        self._fence()

    async def close(self) -> None:
        """Logs out as far as possible and lets go of the threads. Does not wait for a call that hangs."""
        self._closed = True
        with contextlib.suppress(Exception):
            async with asyncio.timeout(3):
                await self._run("Logout", lambda: self.content.sessionManager.Logout())
        self._stub.DropConnections()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, method: str, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, lambda: self._observed(method, work))
        except RuntimeError as error:  # the executor is shut down
            raise VCenterUnreachable("the connection to vCenter is closed") from error

    def _observed(self, method: str, work: Callable[[], T]) -> T:
        if method.endswith("_Task") or method in _WRITES:
            self._fence()
        started = time.monotonic()
        try:
            result = work()
        except Exception as error:
            metrics.called(self.endpoint.server, method, time.monotonic() - started, type(error).__name__)
            if faults.is_expired(error) and method != "Login":
                raise _Expired from error
            translated = faults.translate_clone(error) if method == "InstantClone_Task" else faults.translate(error)
            if translated is error:
                raise
            raise translated from error
        metrics.called(self.endpoint.server, method, time.monotonic() - started, "")
        return result

    def _login(self) -> None:
        # An address that drops packets would use up the whole time-out of a call; the kernel's is minutes.
        with socket.create_connection((self.endpoint.host, self.endpoint.port), timeout=CONNECT_TIMEOUT):
            pass
        self.content.sessionManager.Login(self.endpoint.username, self.endpoint.password, None)


class _Expired(Exception):
    """vCenter does not know the session any more."""


class _PinnedConnection(http.client.HTTPSConnection):
    """A connection that is refused, before anything is sent, unless the certificate has the thumbprint.

    pyVmomi's own `thumbprint` compares only after the usual verification has failed, and then turns verification off
    for all later connections of the same context: it is not used.
    """

    def __init__(self, thumbprint: str, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._thumbprint = thumbprint.replace(":", "").lower()

    def connect(self) -> None:
        super().connect()
        certificate = self.sock.getpeercert(binary_form=True) or b""
        # SHA-1 is what an NFC lease tells of an ESXi host; the VCH's schema takes SHA-256 only.
        digest = hashlib.sha1 if len(self._thumbprint) == _SHA1_DIGITS else hashlib.sha256
        if not hmac.compare_digest(digest(certificate).hexdigest(), self._thumbprint):
            self.close()
            raise CertificateMismatch(
                f"the certificate of {self.host}:{self.port} does not have the thumbprint {self._thumbprint}"
            )


def https(endpoint: Endpoint, timeout: float) -> http.client.HTTPSConnection:
    """A connection to vCenter for what is no SOAP, as safe as those that are. Use within `Session.call` only."""
    if endpoint.thumbprint:
        return pinned(endpoint.host, endpoint.port, endpoint.thumbprint, timeout)
    return http.client.HTTPSConnection(endpoint.host, endpoint.port, timeout=timeout, context=_tls(endpoint))


def pinned(host: str, port: int, thumbprint: str, timeout: float) -> http.client.HTTPSConnection:
    """A connection whose other end must have that certificate."""
    return _PinnedConnection(thumbprint, host, port, timeout=timeout, context=_unverified())


def _stub(endpoint: Endpoint, *, pool: int, timeout: float) -> Any:
    stub = SoapAdapter.SoapStubAdapter(
        host=endpoint.host,
        port=endpoint.port,
        path="/sdk",
        version=API_VERSION,
        sslContext=_tls(endpoint),
        poolSize=pool,
        connectionPoolTimeout=_IDLE_POOL,
        httpConnectionTimeout=timeout,
    )
    if endpoint.thumbprint:
        stub.scheme = functools.partial(_PinnedConnection, endpoint.thumbprint)
    return stub


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    if endpoint.thumbprint:
        return _unverified()
    context = ssl.create_default_context(cadata=endpoint.ca_pem or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _unverified() -> ssl.SSLContext:
    """For connections whose identity is a thumbprint: see _PinnedConnection."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
