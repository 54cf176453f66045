"""A TLS connection to a guest that is certain to be that guest: its certificate has the pinned fingerprint.

An address is no identity: another machine may have taken it. So nothing is sent before the fingerprint is compared.
"""

import asyncio
import hashlib
import hmac
import ssl

from provider.errors import GuestIdentityMismatch, GuestUnreachable

CONNECT_TIMEOUT = 30.0
"""Seconds for TCP and TLS together. A guest under full emulation takes a second or two when many start at once."""


def fingerprint(certificate: bytes) -> str:
    """How certificates are named in guestinfo and pins."""
    return f"sha256:{hashlib.sha256(certificate).hexdigest()}"


async def dial(
    address: str, port: int, pin: str, context: ssl.SSLContext, *, within: float = CONNECT_TIMEOUT
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises GuestUnreachable, or GuestIdentityMismatch (nothing was sent)."""
    try:
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection(address, port, ssl=context)
    except TimeoutError as error:
        raise GuestUnreachable(f"no connection to the guest at {address}:{port} within {within:.0f} s") from error
    except OSError as error:  # ssl.SSLError among them
        raise GuestUnreachable(f"no connection to the guest at {address}:{port}: {error}") from error
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) or b""
    if not hmac.compare_digest(fingerprint(certificate), pin):
        writer.transport.abort()
        raise GuestIdentityMismatch(f"what answers at {address}:{port} is not the guest: its certificate is another")
    return reader, writer
