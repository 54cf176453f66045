"""The Pod's firewall as it was fed last, and how far the gateway has it.

One at a time and only the newest: what was fed meanwhile is loaded next. What nftables refuses is tried again, without
end, and until then the firewall is not *in force*, so that `pod_objects` shows the kubelet no Pod that it is not around
yet. Rules are replaced whole, so those before hold as long as the new ones do not. What the rules are is `policy`'s.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from . import policy
from .process import ProgramFailed

log = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 0.2, 10.0
_OPEN = policy.Direction(isolated=False, rules=())

Load = Callable[[str], Awaitable[object]]
"""Commands of nft(8), all or none. Raises ProgramFailed."""


class PodFirewall:
    """One machine's; `now_in_force` is called whenever the newest one has come into force."""

    def __init__(self, load: Load, now_in_force: Callable[[], None]) -> None:
        self.value: dict[str, Any] | None = None
        """The object that was fed; None: none was, the Pod is not isolated."""
        self._load = load
        self._now_in_force = now_in_force
        self._wanted: str | None = None
        self._loaded: str | None = None
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self._loading: asyncio.Task[None] | None = None

    @property
    def in_force(self) -> bool:
        """The gateway has what was fed last. Not before anything was."""
        return self._wanted is not None and self._wanted == self._loaded

    def want(self, value: Any) -> None:
        """Have this one; None: no isolation. Raises ValueError, and nothing is changed then."""
        firewall = policy.Firewall("", _OPEN, _OPEN) if value is None else policy.Firewall.parse(value)
        self.value, self._wanted = value, policy.rules(firewall)
        if self.in_force:
            return
        self._settled.clear()
        self._news.set()
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._enforce())

    def takes(self, value: dict[str, Any]) -> bool:
        """Whether this object names the one that was fed."""
        return self.value is not None and value["metadata"].get("name") == self.value["metadata"]["name"]

    async def settled(self, within: float) -> bool:
        """Wait until it is in force, for so many seconds; whether it is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._settled.wait()
        return self.in_force

    async def close(self) -> None:
        """Try no more; the rules stay."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    async def _enforce(self) -> None:
        delay = _FIRST_RETRY
        while self._wanted is not None and not self.in_force:
            text, self._loaded = self._wanted, None  # what is loaded is not known while it is being replaced
            self._news.clear()
            try:
                await self._load(text)
            except ProgramFailed as error:
                log.error("the Pod's firewall is not in force, tried again within %.1f s: %s", delay, error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._news.wait()
                delay = min(delay * 2, _LAST_RETRY)
            else:
                self._loaded = text
        self._settled.set()
        self._now_in_force()
