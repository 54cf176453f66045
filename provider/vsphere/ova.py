"""An OVA as it comes from the web: a tar file, an OVF descriptor first, then the disks. Read once, in one go, hashed.

It is never kept: disks are handed on while they come (`ova_import`), so nothing here needs room for them. That the
hash is right is known at the end only. Blocking.
"""

import hashlib
import hmac
import http.client
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast
from urllib.parse import urlsplit

from provider.errors import OVAInvalid

_TIMEOUT = 60.0
_MAX_DESCRIPTOR = 4 * 2**20
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an OVA; it can be read until the next one is asked for."""

    name: str
    size: int
    _content: IO[bytes]

    def blocks(self) -> Iterator[bytes]:
        """What is in it. Raises OVAInvalid."""
        try:
            while block := self._content.read(_BLOCK):
                yield block
        except tarfile.TarError as error:
            raise OVAInvalid(f"the OVA ends in the middle of {self.name}: {error}") from error


class OVA:
    """One that is being fetched."""

    def __init__(self, url: str, sha256: str, stream: IO[bytes]) -> None:
        self._url = url
        self._sha256 = sha256.lower()
        self._hashed = _Hashed(url, stream)

    def members(self) -> Iterator[Member]:
        """Its files, in their order. Raises OVAInvalid."""
        try:
            with tarfile.open(fileobj=cast("Any", self._hashed), mode="r|") as archive:
                for info in archive:
                    content = archive.extractfile(info)
                    if content is not None:
                        yield Member(info.name, info.size, content)
        except tarfile.TarError as error:
            raise OVAInvalid(f"{self._url} is no OVA: {error}") from error

    def check(self) -> None:
        """Reads the rest. Raises OVAInvalid unless all of it has the SHA-256 that was given."""
        while self._hashed.read(_BLOCK):
            pass
        found = self._hashed.sha256.hexdigest()
        if not hmac.compare_digest(found, self._sha256):
            raise OVAInvalid(f"{self._url} has the SHA-256 {found}, not {self._sha256} as the image says")


@contextmanager
def fetch(url: str, sha256: str) -> Iterator[OVA]:
    """Begins to fetch. Raises OVAInvalid."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise OVAInvalid(f"{url} is no http or https URL")
    try:
        response = urllib.request.urlopen(url, timeout=_TIMEOUT)  # noqa: S310  (the scheme is checked above)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)
        raise OVAInvalid(f"{url} cannot be fetched: {why}") from error
    with response:
        yield OVA(url, sha256, response)


def descriptor(member: Member) -> str:
    """The OVF descriptor that an OVA begins with. Raises OVAInvalid."""
    if not member.name.endswith(".ovf") or member.size > _MAX_DESCRIPTOR:
        raise OVAInvalid(f"the OVA begins with {member.name} ({member.size} bytes), not with its OVF descriptor")
    try:
        return b"".join(member.blocks()).decode()
    except UnicodeDecodeError as error:
        raise OVAInvalid(f"{member.name} is not UTF-8") from error


class _Hashed:
    """What is read passes through the hash."""

    def __init__(self, url: str, stream: IO[bytes]) -> None:
        self._url = url
        self._stream = stream
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        try:
            block = self._stream.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise OVAInvalid(f"{self._url} cannot be read to its end: {error}") from error
        self.sha256.update(block)
        return block
