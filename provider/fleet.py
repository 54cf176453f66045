"""The virtual nodes of this process: one for each VirtualContainerHost whose Lease this replica holds.

`handlers` tells what the API server has, `lease_controller` what is held; whatever comes first, a virtual node runs
while both are there, and is begun anew when its VCH's spec changes. A VCH that is being deleted is drained by whoever
holds its Lease, and by nobody else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from pydantic import ValidationError

from provider import errors
from provider.fence import Fence
from provider.kube.client import KubeObject
from provider.ownership import reference

log = structlog.get_logger(__name__)

_AFTER_DEFECT = 5.0


class Node(Protocol):
    """`virtual_node.VirtualNode`."""

    async def run(self) -> None: ...

    async def drain(self) -> None:
        """Returns when neither Pods nor VMs are left; the node runs meanwhile."""

    async def remove(self) -> None:
        """Afterwards, when it does not run any more: the Node goes, and the VCH may."""


class LeaseController(Protocol):
    """`lease_controller.LeaseController`."""

    def follow(self, name: str, owner: KubeObject) -> None: ...

    async def forget(self, name: str) -> None: ...


Make = Callable[[KubeObject, Fence], Node]
Work = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Running:
    vch: KubeObject
    fence: Fence
    deleted: asyncio.Event
    task: asyncio.Task[None]


@dataclass(slots=True)
class _Seat:
    """One VCH's: what should run is what `vch` and `fence` say."""

    vch: KubeObject | None = None
    fence: Fence | None = None
    running: _Running | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Fleet:
    """`names`: the VCHs that are this process' business; empty: all."""

    def __init__(self, make: Make, names: frozenset[str] = frozenset()) -> None:
        self._make = make
        self._names = names
        self._seats: dict[str, _Seat] = {}
        self._leases: LeaseController | None = None

    def stand_for(self, leases: LeaseController) -> None:
        """Whom to tell for which VCHs this replica stands; once, before the first VCH is seen."""
        self._leases = leases

    def concerns(self, name: str) -> bool:
        return not self._names or name in self._names

    # What the API server has.

    async def see(self, vch: KubeObject) -> None:
        """A VCH is there, new or changed."""
        name = vch["metadata"]["name"]
        self._seat(name).vch = vch
        assert self._leases is not None
        self._leases.follow(name, reference(vch))
        await self._settle(name)

    async def forget(self, vch: KubeObject) -> None:
        """A VCH is gone. Another one of its name may have been seen already, or come while this one's node ends."""
        name = vch["metadata"]["name"]
        seat = self._seats.get(name)
        if seat is None or seat.vch is None or seat.vch["metadata"]["uid"] != vch["metadata"]["uid"]:
            return
        seat.vch = None
        await self._settle(name)
        if seat.vch is None and self._leases is not None:
            await self._leases.forget(name)
        if seat.vch is None:
            self._seats.pop(name, None)

    # What is held.

    async def begin(self, name: str, fence: Fence) -> None:
        """The VCH's Lease is held from now on."""
        self._seat(name).fence = fence
        await self._settle(name)

    async def end(self, name: str) -> None:
        """It is not any more; Pods, VMs and Node stay for the next holder. Returns when nothing runs."""
        self._seat(name).fence = None
        await self._settle(name)

    async def close(self) -> None:
        await asyncio.gather(*(self.end(name) for name in list(self._seats)))

    def _seat(self, name: str) -> _Seat:
        return self._seats.setdefault(name, _Seat())

    async def _settle(self, name: str) -> None:
        seat = self._seat(name)
        async with seat.lock:
            vch, fence, running = seat.vch, seat.fence, seat.running
            if running is not None:
                if vch is not None and fence is running.fence and _same(running.vch, vch):
                    if _is_deleted(vch):
                        running.deleted.set()
                    return
                if vch is not None and fence is running.fence:
                    log.info("the VirtualContainerHost has changed: its virtual node is begun anew", node=name)
                seat.running = None
                running.task.cancel()
                await asyncio.gather(running.task, return_exceptions=True)
            if vch is not None and fence is not None:
                seat.running = self._start(name, vch, fence)

    def _start(self, name: str, vch: KubeObject, fence: Fence) -> _Running | None:
        try:
            node = self._make(vch, fence)
        except ValidationError as error:
            # The API server has validated it: this is a VCH of another version's schema.
            log.error("a VirtualContainerHost cannot be read", node=name, error=str(error))
            return None
        deleted = asyncio.Event()
        if _is_deleted(vch):
            deleted.set()
        task = asyncio.create_task(_live(name, node, deleted), name=f"virtual node {name}")
        return _Running(vch, fence, deleted, task)


async def _live(name: str, node: Node, deleted: asyncio.Event) -> None:
    """Runs the node; once its VCH is deleted, to its end."""
    running = asyncio.create_task(_again_and_again(name, node.run))
    try:
        await deleted.wait()
        await _until_done(name, node.drain)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await _until_done(name, node.remove)


async def _again_and_again(name: str, work: Work) -> None:
    while True:
        await _until_done(name, work)


async def _until_done(name: str, work: Work) -> None:
    """A defect in one virtual node neither ends it for good nor touches the others."""
    while True:
        try:
            await work()
            return
        except errors.ProviderError as error:
            log.warning("virtual node is held up", node=name, reason=error.reason, error=str(error))
            await asyncio.sleep(_AFTER_DEFECT)
        except Exception:
            log.exception("virtual node failed", node=name)
            await asyncio.sleep(_AFTER_DEFECT)


def _is_deleted(vch: KubeObject) -> bool:
    return bool(vch["metadata"].get("deletionTimestamp"))


def _same(old: KubeObject, new: KubeObject) -> bool:
    return bool(old["metadata"]["uid"] == new["metadata"]["uid"] and old["spec"] == new["spec"])
