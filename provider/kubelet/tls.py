"""The TLS side of the kubelet API: our serving certificate, and the CA of the client certificates that we accept.

A certificate is exchanged without a connection being dropped: each handshake takes what is there at its time.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from provider.kubelet.certificate import KeyPair


class ServingTLS:
    """Of one virtual node. Handshakes fail as long as there is no certificate that holds.

    A client certificate is asked for, not demanded: who shows none may have a bearer token. Only HTTP/1.1 is offered,
    since the upgrades of exec and port-forward exist in no later version.
    """

    def __init__(self, client_ca: Path | None, now: Callable[[], datetime]) -> None:
        """Raises OSError or ssl.SSLError for a CA that is not there or not PEM."""
        self._client_ca = client_ca
        self._now = now
        self._current: ssl.SSLContext | None = None
        self.expires: datetime | None = None
        """When the certificate that is used runs out; None: there is none yet."""
        self.usable = asyncio.Event()
        self.context = _context(client_ca)
        self.context.sni_callback = self._choose

    def use(self, pair: KeyPair) -> None:
        """From the next handshake on. Raises OSError or ssl.SSLError."""
        context = _context(self._client_ca)
        # The ssl module takes files only; these are memory, which nobody else can open.
        with _in_memory(pair.certificate) as certificate, _in_memory(pair.key) as key:
            context.load_cert_chain(certificate, key)
        self._current, self.expires = context, pair.not_after
        self.usable.set()

    def holds(self) -> bool:
        """There is a certificate, and it has not run out (invariant I-85)."""
        return self.expires is not None and self.expires > self._now()

    def _choose(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        """Called in each handshake, also where the client names no server."""
        if self._current is None or not self.holds():
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._current
        return None


def _context(client_ca: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """The path of a file that is in memory only, until the block ends."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
