"""Replicas against one API server of Leases, each with clocks of its own, and what they run.

What is faked: the API server keeps versions and refuses what is based on an old one; a virtual node is an entry in a
list. `crash` ends a replica without a word.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime, timedelta

from provider import errors
from provider.campaign import Replica
from provider.fence import Fence
from provider.kube.leases import Lease, Wanted, _lease, _object
from provider.lease_controller import LeaseController
from provider.tenure import Terms
from tests.pod_controller.hurried_loop import LoopClock

TERMS = Terms()


class FakeLeases:
    """`kube.leases.Leases` of all replicas."""

    def __init__(self) -> None:
        self.stored: dict[str, dict] = {}
        self.down = False
        self.lost: set[str] = set()  # Leases whose writes are stored, but whose answers are not heard
        self.writes: list[tuple[str, str]] = []  # Lease, holder
        self._version = 0

    async def list(self, within: float) -> Mapping[str, Lease]:
        await self._answer()
        return {name: _lease(found) for name, found in self.stored.items()}

    async def get(self, name: str, within: float) -> Lease | None:
        await self._answer()
        return _lease(self.stored[name]) if name in self.stored else None

    async def write(self, wanted: Wanted, now: datetime, within: float) -> Lease:
        await self._answer()
        body = _object(wanted, "vch-system", now)
        version = self.stored[wanted.name]["metadata"]["resourceVersion"] if wanted.name in self.stored else None
        if body["metadata"].get("resourceVersion") != version:
            raise errors.KubeNotFound("gone") if version is None else errors.KubeConflict("changed")
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self.stored[wanted.name] = body
        self.writes.append((wanted.name, wanted.holder))
        if wanted.name in self.lost:
            raise errors.KubeUnavailable("the connection broke")
        return _lease(body)

    async def delete(self, lease: Lease, within: float) -> None:
        await self._answer()
        stored = self.stored.get(lease.name)
        if stored is not None and stored["metadata"]["resourceVersion"] != lease.record.version:
            raise errors.KubeConflict("changed")
        self.stored.pop(lease.name, None)

    async def _answer(self) -> None:
        await asyncio.sleep(0.01)
        if self.down:
            raise errors.KubeUnavailable("nobody answers")


class SkewedClock(LoopClock):
    """A wall clock that is wrong, and a monotonic one that began at another time."""

    def __init__(self, skew: float) -> None:
        super().__init__()
        self._began = skew
        self.skew = timedelta(seconds=skew)

    def monotonic(self) -> float:
        return super().monotonic() + self._began


class FakeFleet:
    """`campaign.Tenant`: what runs, and under which fence."""

    def __init__(self) -> None:
        self.running: dict[str, Fence] = {}
        self.fences: list[Fence] = []

    async def begin(self, name: str, fence: Fence) -> None:
        self.running[name] = fence
        self.fences.append(fence)

    async def end(self, name: str) -> None:
        await asyncio.sleep(0.5)
        self.running.pop(name, None)


class Running:
    """One replica."""

    def __init__(self, kube: FakeLeases, identity: str, skew: float = 0.0) -> None:
        self.fleet = FakeFleet()
        replica = Replica(identity, kube, self.fleet, TERMS, SkewedClock(skew))
        self.controller = LeaseController(replica)
        self.identity = identity
        self._task: asyncio.Task[None] | None = None

    def start(self, *vchs: str) -> "Running":
        self._task = asyncio.create_task(self.controller.run())
        for name in vchs:
            self.controller.follow(name, {"kind": "VirtualContainerHost", "name": name, "uid": f"uid-of-{name}"})
        return self

    async def stop(self) -> None:
        """As on SIGTERM."""
        await self._cancel()
        await self.controller.close()

    async def crash(self) -> None:
        await self._cancel()
        tasks = [each.task for each in self.controller._campaigns.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def held(self) -> set[str]:
        """What it may write for."""
        return {name for name, fence in self.fleet.running.items() if fence.left() > 0}

    async def _cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def named(lease: dict, holder: str, version: str) -> dict:
    """A Lease as somebody else has written it."""
    meta = {**lease["metadata"], "resourceVersion": version}
    return {**lease, "metadata": meta, "spec": {**lease["spec"], "holderIdentity": holder}}
