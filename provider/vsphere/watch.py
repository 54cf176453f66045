"""One property collector of its own session, waiting for changes of a VCH's folder, hosts, pool and the recent tasks.

Rules of the API that are kept here: one WaitForUpdatesEx at a time for a collector; `truncated` answers are read to the
end; a filter dies with its session. When anything breaks, everything is made anew and told again: a version that was
lost is not searched for. (vSphere Web Services API, PropertyCollector.WaitForUpdatesEx.)
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from pyVmomi import vim, vmodl

from provider.errors import VSphereError
from provider.metrics import vcenter as metrics
from provider.parentvm import Placement
from provider.vsphere.faults import moref
from provider.vsphere.picture import HOST, POOL, PROPERTIES, TASK, VM, Change
from provider.vsphere.session import Session

WAIT = 30
"""Seconds that vCenter may hold a wait without news; with the time-out below, a dead connection shows in a minute."""

TIMEOUT = 50.0
_CANCELS_WITHIN = 3.0
_PAGE = 200  # objects of one answer

_collect = vmodl.query.PropertyCollector

_KINDS: Mapping[str, type] = {VM: vim.VirtualMachine, HOST: vim.HostSystem, POOL: vim.ResourcePool, TASK: vim.Task}


class Watch:
    """Begun by `changes`, ended by `close`."""

    def __init__(self, session: Session, placement: Placement) -> None:
        self._session = session
        self._placement = placement
        self._collector: Any = None

    async def changes(self) -> AsyncIterator[tuple[list[Change], bool]]:
        """Batches of changes; the flag is true once everything that there was has been told. Raises VSphereError."""
        self._collector = await self._session.call("CreateFilter", self._begin)
        version = ""
        complete = False
        while True:
            update = await self._session.call("WaitForUpdatesEx", lambda v=version: self._wait(v))  # type: ignore[misc]
            metrics.updated(self._session.endpoint.server)
            if update is None:
                continue  # nothing happened for WAIT seconds
            version = update.version
            complete = complete or not update.truncated
            yield list(_changes(update)), complete

    async def close(self) -> None:
        """End the wait that a thread hangs in: the process could not end before it does."""
        if self._collector is not None:
            with contextlib.suppress(VSphereError, TimeoutError):
                async with asyncio.timeout(_CANCELS_WITHIN):
                    await self._session.call("CancelWaitForUpdates", self._collector.CancelWaitForUpdates)

    def _begin(self) -> Any:
        content = self._session.content
        collector = content.propertyCollector.CreatePropertyCollector()
        placed = self._placement
        folder = self._session.object(vim.Folder, placed.folder)
        pool = self._session.object(vim.ResourcePool, placed.resource_pool)
        view = content.viewManager.CreateContainerView(folder, [vim.VirtualMachine], True)
        in_view = _collect.TraversalSpec(name="view", type=vim.view.ContainerView, path="view", skip=False)
        of_cluster = _collect.TraversalSpec(name="host", type=vim.ComputeResource, path="host", skip=False)
        recent = _collect.TraversalSpec(name="recent", type=vim.TaskManager, path="recentTask", skip=False)
        spec = _collect.FilterSpec(
            objectSet=[
                _collect.ObjectSpec(obj=pool.owner, skip=True, selectSet=[of_cluster]),
                _collect.ObjectSpec(obj=pool, skip=False),
                _collect.ObjectSpec(obj=view, skip=True, selectSet=[in_view]),
                _collect.ObjectSpec(obj=content.taskManager, skip=True, selectSet=[recent]),
            ],
            propSet=[
                _collect.PropertySpec(type=_KINDS[kind], pathSet=list(paths)) for kind, paths in PROPERTIES.items()
            ],
            # A pool that does not exist any more must not break the watch: it is told as missing.
            reportMissingObjectsInResults=True,
        )
        collector.CreateFilter(spec, partialUpdates=False)
        return collector

    def _wait(self, version: str) -> Any:
        options = _collect.WaitOptions(maxWaitSeconds=WAIT, maxObjectUpdates=_PAGE)
        return self._collector.WaitForUpdatesEx(version, options)


def _changes(update: Any) -> Iterator[Change]:
    for filtered in update.filterSet or ():
        for seen in filtered.objectSet or ():
            kind = next((name for name, type_ in _KINDS.items() if isinstance(seen.obj, type_)), None)
            if kind is None:
                continue
            properties = {
                change.name: None if change.op in ("remove", "indirectRemove") else change.val
                for change in seen.changeSet or ()
            }
            yield Change(moref(seen.obj), kind, properties, gone=str(seen.kind) == "leave")


async def pause(seconds: float) -> None:
    """Before another attempt at a vCenter that does not answer; nothing tells when it is back."""
    await asyncio.sleep(seconds)
