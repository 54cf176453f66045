"""May he: a SubjectAccessReview on `nodes/<subresource>` of this node. Only a clear yes is a yes.

Answers are kept as the kubelet keeps them: a yes for five minutes, a no for thirty seconds.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from provider.kube.reviews import UserInfo
from provider.kubelet.routes import Route, Unroutable

ALLOWED_CACHE = 300.0  # seconds; the kubelet's defaults (authorization.webhook.cache{Authorized,Unauthorized}TTL)
DENIED_CACHE = 30.0
_CACHED = 4096

_Question = tuple[str, str, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...], str, str]


class AccessReviewer(Protocol):
    async def review_access(self, user: UserInfo, verb: str, resource: str, subresource: str, name: str) -> bool:
        """Whether the user may do this to `<resource>/<subresource>`. Raises errors.KubeError: nobody knows."""


class Authorizer:
    """Answers for one node; raises errors.KubeError when the API server cannot be asked."""

    def __init__(self, reviewer: AccessReviewer, node: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._reviewer = reviewer
        self._node = node
        self._clock = clock
        self._cache: OrderedDict[_Question, tuple[float, bool]] = OrderedDict()

    async def allows(self, user: UserInfo, wanted: Route | Unroutable) -> bool:
        for subresource in wanted.subresources:
            if await self._allowed(user, wanted.verb, subresource):
                return True
        return False

    async def _allowed(self, user: UserInfo, verb: str, subresource: str) -> bool:
        extra = tuple(sorted((key, tuple(values)) for key, values in user.extra.items()))
        question = (user.username, user.uid, user.groups, extra, verb, subresource)
        cached = self._cache.get(question)
        if cached is not None and cached[0] > self._clock():
            return cached[1]
        allowed = await self._reviewer.review_access(user, verb, "nodes", subresource, self._node)
        self._cache[question] = (self._clock() + (ALLOWED_CACHE if allowed else DENIED_CACHE), allowed)
        self._cache.move_to_end(question)
        while len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return allowed
