"""What the VMs' memory is, for whoever shows it: asked of vCenter only when somebody looks, and not more often than
every 30 s. Nobody waits for vCenter: who looks gets what the look before has brought.
"""

import asyncio
from collections.abc import Mapping

import structlog

from provider import errors
from provider.clock import Clock
from provider.podvm import VMMemory, VSphere

EVERY = 30.0
"""Seconds; vCenter's own numbers are 20 s old (quickStats)."""

LASTS = 300.0
"""Seconds after which a sample is none any more: as long as Prometheus believes one."""


class MemorySampler:
    """One connection's. `latest` may be asked as often as one likes; `run` does the work."""

    def __init__(self, node: str, vsphere: VSphere, clock: Clock) -> None:
        self._vsphere = vsphere
        self._clock = clock
        self._wanted = asyncio.Event()
        self._sample: Mapping[str, VMMemory] = {}
        self._at = 0.0
        self._log = structlog.get_logger(node=node)

    def latest(self) -> Mapping[str, VMMemory]:
        """By moref; empty if nothing is known. Somebody wants to know: there will be a newer one."""
        self._wanted.set()
        return self.known()

    def known(self) -> Mapping[str, VMMemory]:
        """The same for who does not want to know enough to have vCenter asked."""
        return self._sample if self._clock.monotonic() < self._at + LASTS else {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                self._sample, self._at = await self._vsphere.memory(), self._clock.monotonic()
            except errors.VSphereError as error:
                self._sample = {}
                self._log.info("the VMs' memory is not known", reason=error.reason, error=str(error))
            await asyncio.sleep(EVERY)
