"""The Leases of one replica: it shows that it is there, looks who else is, and has a `campaign` for each VCH.

One list for each look, whatever the number of VCHs. Replicas that are gone are forgotten when their Lease has been
expired for long. If this fails, Leases run out and virtual nodes stop: that is what they are for.
"""

import asyncio
import contextlib
from dataclasses import dataclass

import structlog

from provider import errors, metrics, tenure
from provider.campaign import Campaign, Replica, Standing
from provider.kube import leases
from provider.kube.client import KubeObject
from provider.kube.leases import Lease, Wanted
from provider.tenure import Sight

_FORGOTTEN_AFTER = 4.0
"""Durations after which the expired Lease of a replica is deleted."""
_LONGEST_END = 20.0
"""Seconds for a graceful end; a Deployment waits 30 s."""


@dataclass(slots=True)
class _Standing:
    campaign: Campaign
    task: asyncio.Task[None]


class LeaseController:
    """Of this replica."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._campaigns: dict[str, _Standing] = {}
        self._members: dict[str, Sight] = {}  # by the name of their Lease
        self._own: Lease | None = None
        self._wanted = asyncio.Event()
        self._log = structlog.get_logger(replica=replica.identity)

    def follow(self, name: str, owner: KubeObject) -> None:
        """A VCH is there. `owner` is its reference, so that its Lease goes with it."""
        if (found := self._campaigns.get(name)) is not None:
            found.campaign.owner = owner
            return
        metrics.leases.stands(name)
        campaign = Campaign(name, owner, self._replica, self._standing)
        self._campaigns[name] = _Standing(campaign, asyncio.create_task(campaign.run(), name=f"lease of {name}"))
        self._wanted.set()

    async def forget(self, name: str) -> None:
        """A VCH is gone. Returns when its virtual node does not run here any more."""
        if found := self._campaigns.pop(name, None):
            found.campaign.stop()
            await asyncio.gather(found.task, return_exceptions=True)
            metrics.leases.gone(name)

    async def run(self) -> None:
        """Until cancelled; `close` comes after it."""
        await self._show()  # before the first look: two that start together shall see each other
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_showing(), name="this replica's Lease")
            group.create_task(self._keep_looking(), name="looking at Leases")

    async def close(self) -> None:
        """Gives back what is held, so that others need not wait.

        The replica's own Lease goes first: as long as it counts as live, the others leave it its share.
        """
        for each in self._campaigns.values():
            each.campaign.stop()
        await self._withdraw()
        tasks = [each.task for each in self._campaigns.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_LONGEST_END)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # This replica.

    async def _keep_showing(self) -> None:
        while True:
            await asyncio.sleep(self._replica.terms.renew)
            await self._show()

    async def _show(self) -> None:
        replica = self._replica
        name, within = leases.of_replica(replica.identity), replica.terms.within
        wanted = Wanted(name, leases.REPLICA, replica.identity, replica.terms.duration, self._own)
        try:
            self._own = await replica.kube.write(wanted, replica.clock.now(), within)
        except (errors.KubeConflict, errors.KubeNotFound):
            with contextlib.suppress(errors.KubeError):
                self._own = await replica.kube.get(name, within)
        except errors.KubeError as error:
            self._log.warning("this replica cannot show that it is there", reason=error.reason, error=str(error))

    async def _withdraw(self) -> None:
        """Its last write may have been cancelled on its way: what is stored counts, not what was answered."""
        replica = self._replica
        try:
            own = await replica.kube.get(leases.of_replica(replica.identity), replica.terms.within)
            if own is not None and own.record.holder == replica.identity:
                await replica.kube.delete(own, replica.terms.within)
        except errors.KubeError as error:
            self._log.warning("this replica's Lease is left to expire", reason=error.reason, error=str(error))

    # The others.

    async def _keep_looking(self) -> None:
        while True:
            self._wanted.clear()
            try:
                await self._look()
            except errors.KubeError as error:
                self._log.warning("Leases cannot be looked at", reason=error.reason, error=str(error))
                await asyncio.sleep(self._replica.terms.retry)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._replica.terms.retry):
                    await self._wanted.wait()

    async def _look(self) -> None:
        listed = await self._replica.kube.list(self._replica.terms.within)
        now = self._replica.clock.monotonic()
        members = {name: lease for name, lease in listed.items() if lease.kind == leases.REPLICA}
        self._members = {
            name: tenure.see(self._members.get(name), lease.record, now) for name, lease in members.items()
        }
        for name, each in self._campaigns.items():
            each.campaign.saw(listed.get(leases.of_vch(name)))
        for name, lease in members.items():
            if now > self._members[name].free_since() + _FORGOTTEN_AFTER * self._replica.terms.duration:
                await self._forget_replica(lease)

    async def _forget_replica(self, lease: Lease) -> None:
        with contextlib.suppress(errors.KubeError):
            await self._replica.kube.delete(lease, self._replica.terms.within)
            self._log.info("a replica is gone for good", gone=lease.record.holder)

    def _standing(self) -> Standing:
        now = self._replica.clock.monotonic()
        return Standing(
            live=frozenset(sight.holder for sight in self._members.values() if now < sight.free_since()),
            nodes=len(self._campaigns),
            held=sum(each.campaign.holds for each in self._campaigns.values()),
        )
