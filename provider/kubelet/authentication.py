"""Who asks: a client certificate that the TLS layer has verified, or a bearer token that the API server knows.

Anonymous requests are refused. Headers that a front proxy would set (X-Remote-User and the like) mean nothing here.
"""

import hashlib
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from provider.kube.reviews import UserInfo
from provider.kubelet.head import Request

TOKEN_CACHE = 120.0  # seconds; the kubelet's default (authentication.webhook.cacheTTL)
_CACHED = 4096


class TokenReviewer(Protocol):
    async def review_token(self, token: str) -> UserInfo | None:
        """None for a token that is not valid. Raises errors.KubeError: nobody knows."""


class Authenticator:
    """Tells users; raises errors.KubeError when the API server cannot be asked."""

    def __init__(self, reviewer: TokenReviewer, clock: Callable[[], float] = time.monotonic) -> None:
        self._reviewer = reviewer
        self._clock = clock
        self._cache: OrderedDict[bytes, tuple[float, UserInfo]] = OrderedDict()

    async def user(self, request: Request, tls: ssl.SSLObject | None) -> UserInfo | None:
        """The user, or None for nobody."""
        certificate = tls.getpeercert() if tls is not None else None
        if certificate:
            return certificate_user(certificate)
        authorization = request.one("authorization")
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        return await self._token_user(token.strip())

    async def _token_user(self, token: str) -> UserInfo | None:
        key = hashlib.sha256(token.encode()).digest()
        cached = self._cache.get(key)
        if cached is not None and cached[0] > self._clock():
            return cached[1]
        user = await self._reviewer.review_token(token)
        if user is None:
            self._cache.pop(key, None)
            return None
        self._cache[key] = (self._clock() + TOKEN_CACHE, user)
        while len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return user


def certificate_user(certificate: Mapping[str, Any]) -> UserInfo | None:
    """CN is the name, each O a group, as everywhere in Kubernetes; takes what `getpeercert()` gives."""
    fields = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [value for key, value in fields if key == "commonName"]
    if len(names) != 1 or not names[0]:
        return None
    groups = tuple(value for key, value in fields if key == "organizationName")
    return UserInfo(username=names[0], groups=(*groups, "system:authenticated"))
