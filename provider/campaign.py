"""One VCH's Lease: this replica stands for it, holds it, gives it up. Does what `tenure` decides, one thing at a time.

It starts and stops the virtual node through `Tenant`, and hands it the fence of its tenure. What the Leases of others
say is told by `lease_controller`, the neighbour; a holder believes only the answers to its own writes, since a list may
be older than they are.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from provider import errors, metrics, tenure
from provider.clock import Clock
from provider.fence import Fence
from provider.kube import leases
from provider.kube.client import KubeObject
from provider.kube.leases import Lease, Wanted
from provider.tenure import Acquire, Release, Renew, Sight, Situation, StepDown, Terms, Wait
from provider.waiting import wait_until

_AFTER_FAILURE = 1.0
_AFTER_DEFECT = 5.0
_RELEASES = 2


class Tenant(Protocol):
    """`fleet.Fleet`: runs a virtual node while its Lease is held."""

    async def begin(self, name: str, fence: Fence) -> None: ...

    async def end(self, name: str) -> None:
        """Returns when nothing of the virtual node runs any more."""


class LeaseKube(Protocol):
    """`kube.leases.Leases`."""

    async def list(self, within: float) -> Mapping[str, Lease]: ...

    async def get(self, name: str, within: float) -> Lease | None: ...

    async def write(self, wanted: Wanted, now: datetime, within: float) -> Lease: ...

    async def delete(self, lease: Lease, within: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Replica:
    """Who stands, and by what means."""

    identity: str
    kube: LeaseKube
    tenant: Tenant
    terms: Terms
    clock: Clock


@dataclass(frozen=True, slots=True)
class Standing:
    """How the replicas stand."""

    live: frozenset[str] = frozenset()
    nodes: int = 0
    held: int = 0


class Campaign:
    """For one VCH. `standing` tells how things are whenever something is to be decided."""

    def __init__(self, name: str, owner: KubeObject, replica: Replica, standing: Callable[[], Standing]) -> None:
        self.name = name
        self.owner = owner
        self._replica = replica
        self._standing = standing
        self._lease: Lease | None = None  # as last seen
        self._sight: Sight | None = None
        self._sent: float | None = None
        self._fence = Fence(name, replica.terms, replica.clock.monotonic)
        self._stopping = False
        self._news = asyncio.Event()
        self._log = structlog.get_logger(node=name, replica=replica.identity)

    @property
    def holds(self) -> bool:
        return self._sent is not None

    def saw(self, lease: Lease | None) -> None:
        """What a list says of the Lease."""
        if not self.holds:
            self._see(lease)
            self._news.set()

    def stop(self) -> None:
        """`run` gives the Lease back and returns."""
        self._stopping = True
        self._news.set()

    async def run(self) -> None:
        """Until stopped; when cancelled, the Lease is left to expire."""
        while self.holds or not self._stopping:
            try:
                await self._step()
            except Exception:
                self._log.exception("the campaign for a Lease failed")
                await self._end("failed")
                await asyncio.sleep(_AFTER_DEFECT)

    async def _step(self) -> None:
        self._news.clear()
        match tenure.decide(self._situation(), self._replica.terms):
            case Acquire():
                await self._acquire()
            case Renew():
                await self._renew()
            case StepDown(why):
                self._log.warning("the Lease is lost: the virtual node is stopped here", why=why)
                await self._end("lost")
            case Release():
                await self._release()
            case Wait(until):
                await wait_until(until, self._news, self._replica.clock)

    def _situation(self) -> Situation:
        standing = self._standing()
        return Situation(
            me=self._replica.identity,
            sight=self._sight,
            sent=self._sent,
            live=standing.live,
            nodes=standing.nodes,
            held=standing.held,
            stopping=self._stopping,
            now=self._replica.clock.monotonic(),
        )

    async def _acquire(self) -> None:
        sent = self._replica.clock.monotonic()
        if not await self._write(self._replica.identity, self._replica.terms.within):
            return
        fence = self._fence = Fence(self.name, self._replica.terms, self._replica.clock.monotonic)
        fence.renewed(sent)
        self._sent = sent
        self._moved("acquired")
        self._log.info("the Lease is acquired: the virtual node is started here")
        await self._replica.tenant.begin(self.name, fence)

    async def _renew(self) -> None:
        sent = self._replica.clock.monotonic()
        within = min(self._replica.terms.within, self._fence.left())
        if within > 0 and await self._write(self._replica.identity, within):
            self._sent = sent
            self._fence.renewed(sent)

    async def _release(self) -> None:
        """Once more if the first write fails: a renewal whose answer was lost has made another version of it."""
        await self._end("released")
        for _ in range(_RELEASES):
            if await self._write(tenure.NOBODY, self._replica.terms.within):
                self._log.info("the Lease is released")
                return
            if self._sight is None or self._sight.holder != self._replica.identity:
                return

    async def _end(self, how: str) -> None:
        """The fence first: what does not stop at once must not write either."""
        self._fence.close()
        if self.holds:
            await self._replica.tenant.end(self.name)
            self._sent = None
            self._moved(how)

    async def _write(self, holder: str, within: float) -> bool:
        """Makes the Lease name `holder`; if that fails, what it says instead is known afterwards, where possible."""
        terms, kube = self._replica.terms, self._replica.kube
        known = self._lease if self._sight is not None and tenure.exists(self._sight) else None
        name = leases.of_vch(self.name)
        wanted = Wanted(name, leases.VCH, holder, terms.duration, known, self.owner)
        try:
            self._see(await kube.write(wanted, self._replica.clock.now(), within))
            return True
        except (errors.KubeConflict, errors.KubeNotFound) as error:
            self._log.info("the Lease has changed", error=str(error))
            with contextlib.suppress(errors.KubeError):
                self._see(await kube.get(name, within))
        except errors.KubeError as error:
            self._log.warning("the Lease is not written", reason=error.reason, error=str(error))
        if not self._stopping:
            await asyncio.sleep(_AFTER_FAILURE)
        return False

    def _see(self, lease: Lease | None) -> None:
        self._lease = lease
        record = lease.record if lease else None
        self._sight = tenure.see(self._sight, record, self._replica.clock.monotonic())

    def _moved(self, how: str) -> None:
        metrics.leases.moved(self.name, how, held=self.holds)
