"""What the provider itself says of a Pod until its guest does: that its containers wait, and for what.

The two must never overtake each other: once the guest's kubelet reports, its word is the only one.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from provider import errors, pod_status
from provider.clock import Clock

KubeObject = dict[str, Any]

_AFTER = 1.0
"""Seconds until a Pod whose VM is not there yet is told to be ContainerCreating: most VMs are faster, and their kubelet
says it anyway."""


class Announcement:
    """One Pod's. `write` patches its status."""

    def __init__(
        self,
        current_pod: Callable[[], KubeObject | None],
        write: Callable[[KubeObject], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._current_pod = current_pod
        self._write = write
        self._clock = clock
        self._guest_reports = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """A VM is being made: say so if that takes long."""
        pod = self._current_pod()
        if self._task is None and pod is not None and not pod_status.is_announced(pod):
            self._task = asyncio.create_task(self._announce())

    async def explain(self, error: errors.ProviderError) -> None:
        """Why there is no VM yet; the same is not said twice."""
        pod = self._current_pod()
        status = (pod or {}).get("status") or {}
        if pod is None or (status.get("reason"), status.get("message")) == (error.reason, str(error)):
            return
        with contextlib.suppress(errors.KubeError):
            await self._write(pod_status.waiting(pod, self._clock.now(), error.reason, str(error)))

    async def end(self) -> None:
        """Returns when the guest may report: nothing more is said here, and no old reason is left standing."""
        self._guest_reports.set()
        if self._task:
            # A request that is under way cannot be called back. How it ended does not matter.
            await asyncio.wait({self._task})
        pod = self._current_pod()
        reason = ((pod or {}).get("status") or {}).get("reason")
        if pod is not None and reason and not pod_status.pod_facts(pod).started:
            with contextlib.suppress(errors.KubeError):
                await self._write(pod_status.waiting(pod, self._clock.now()))

    def close(self) -> None:
        if self._task:
            self._task.cancel()

    async def _announce(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_AFTER):
                await self._guest_reports.wait()
                return
        pod = self._current_pod()
        if pod is not None and not pod_status.is_announced(pod):
            with contextlib.suppress(errors.KubeError):
                await self._write(pod_status.waiting(pod, self._clock.now()))
