"""Where the kubelet API's certificates come from: files that somebody gives, or the cluster's signer.

Each source gives the first one at once, and the next one when there has to be another. They end with the process: a
restart, or the replica that takes a node over, asks anew.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from provider import errors
from provider.clock import Clock
from provider.kubelet.certificate import KeyPair, wanted

LOOK_AT_FILES = 20.0
"""Seconds. The kubelet brings a Secret's news into its volume within a minute or two, by links that are exchanged."""
SIGNED_WITHIN = 900.0
"""Seconds for which one request is waited for, as the kubelet does: a new one would be no faster."""
_SOONEST = 60.0
"""Seconds from one certificate to the next, also where it holds for next to nothing, as at the end of a CA."""
_LONGEST_SLEEP = 600.0
"""Seconds: the due time is one of the wall clock, which may be set meanwhile."""


class Signer(Protocol):
    """`kube.signing.Signing`."""

    async def sign(self, request_pem: bytes, now: datetime, within: float) -> bytes:
        """The chain, PEM. Raises ProviderError."""


class Certificates(Protocol):
    """A source of certificates for one address."""

    async def next(self) -> KeyPair:
        """The first one at once; after that, returns when another one is to be used. Raises ProviderError, and may be
        asked again then."""


class Issued:
    """From the cluster's signer, replaced before it runs out."""

    def __init__(
        self, node: str, address: str, signer: Signer, clock: Clock, chance: Callable[[], float] = random.random
    ) -> None:
        self._node = node
        self._address = address
        self._signer = signer
        self._clock = clock
        self._chance = chance
        self._due: datetime | None = None

    async def next(self) -> KeyPair:
        await self._until_due()
        asked = wanted(self._node, self._address)
        chain = await self._signer.sign(asked.request, self._clock.now(), SIGNED_WITHIN)
        try:
            pair = KeyPair(chain, asked.key)
        except ValueError as error:
            raise errors.CertificateRefused(f"what the signer answered is no certificate for us: {error}") from error
        soonest = self._clock.now() + timedelta(seconds=_SOONEST)
        self._due = max(pair.due(self._chance()), soonest)
        return pair

    async def _until_due(self) -> None:
        while self._due is not None:
            left = (self._due - self._clock.now()).total_seconds()
            if left <= 0:
                return
            await asyncio.sleep(min(left, _LONGEST_SLEEP))


class FromFiles:
    """The files' content, and what it is changed to."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._last: KeyPair | None = None

    async def next(self) -> KeyPair:
        while True:
            pair = read(self._certificate, self._key)
            if pair != self._last:
                self._last = pair
                return pair
            await asyncio.sleep(LOOK_AT_FILES)


def read(certificate: Path, key: Path) -> KeyPair:
    """Raises CertificateUnusable: not there, not PEM, or not a pair (as while one of two files is written)."""
    try:
        return KeyPair(certificate.read_bytes(), key.read_bytes())
    except (OSError, ValueError) as error:
        raise errors.CertificateUnusable(f"--kubelet-certificate, --kubelet-key: {error}") from error
