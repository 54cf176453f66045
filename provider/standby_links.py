"""Connections to standby clones, so that a Pod that gets one finds a guest that has spoken with us before.

Nothing is fed through them and nothing is relayed: a clone without a Pod has nothing to say. They end when the clone is
taken; the Pod's own connection (`pod_controller.guest`) begins anew, with the Pod's UID.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable

import structlog

from provider.errors import GuestError
from provider.podvm import PodVM

log = structlog.get_logger(__name__)


class StandbyLinks:
    """`hold` is connected to a VM as long as it runs (`guest.link.GuestLink.run`)."""

    def __init__(self, hold: Callable[[PodVM], Coroutine[object, object, None]]) -> None:
        self._hold = hold
        self._held: dict[str, asyncio.Task[None]] = {}

    def keep(self, vms: Iterable[PodVM]) -> None:
        """Be connected to these and to no others."""
        wanted = {vm.moref: vm for vm in vms}
        for moref in self._held.keys() - wanted.keys():
            self._held.pop(moref).cancel()
        for moref in wanted.keys() - self._held.keys():
            self._held[moref] = asyncio.create_task(self._try(wanted[moref]), name=f"link to standby {moref}")

    async def close(self) -> None:
        held = list(self._held.values())
        self._held.clear()
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    async def _try(self, vm: PodVM) -> None:
        try:
            await self._hold(vm)
        except GuestError as error:
            # Binding it will tell the same, and the Pod's worker replaces it then.
            log.warning("standby guest does not talk to us", vm=vm.name, reason=error.reason, error=str(error))
