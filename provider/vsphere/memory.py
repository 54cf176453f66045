"""What the VMs of a VCH's folder have of their hosts' memory: one call for all, made when somebody wants to know.

Not part of the watch: these numbers change all the time, and would be told all the time.
"""

from collections.abc import Mapping
from typing import Any

from pyVmomi import vim, vmodl

from provider.parentvm import Placement
from provider.podvm import VMMemory
from provider.vsphere.faults import moref
from provider.vsphere.session import Session

_STATS = "summary.quickStats"
_PATHS = tuple(f"{_STATS}.{name}" for name in ("sharedMemory", "privateMemory", "balloonedMemory", "hostMemoryUsage"))
_MIB = 2**20
_PAGE = 1000

_collect = vmodl.query.PropertyCollector


async def retrieve(session: Session, placed: Placement) -> Mapping[str, VMMemory]:
    """By moref; VMs that have no numbers (off, or their host is away) are left out. Raises VSphereError."""
    return await session.call("RetrievePropertiesEx", lambda: _retrieve(session, placed))


def _retrieve(session: Session, placed: Placement) -> dict[str, VMMemory]:
    folder = session.object(vim.Folder, placed.folder)
    below = _collect.TraversalSpec(
        name="below",
        type=vim.Folder,
        path="childEntity",
        skip=False,
        selectSet=[_collect.SelectionSpec(name="below")],  # folders in it
    )
    spec = _collect.FilterSpec(
        objectSet=[_collect.ObjectSpec(obj=folder, skip=True, selectSet=[below])],
        propSet=[_collect.PropertySpec(type=vim.VirtualMachine, pathSet=list(_PATHS))],
    )
    collector = session.content.propertyCollector
    page = collector.RetrievePropertiesEx([spec], _collect.RetrieveOptions(maxObjects=_PAGE))
    found: dict[str, VMMemory] = {}
    while page is not None:
        for each in page.objects:
            memory = _memory({one.name: one.val for one in each.propSet or ()})
            if memory is not None:
                found[moref(each.obj)] = memory
        page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
    return found


def _memory(values: Mapping[str, Any]) -> VMMemory | None:
    """In MB of 2^20 bytes; a property that is unset is zero where others are set."""
    amounts = [values.get(path) for path in _PATHS]
    if all(amount is None for amount in amounts):
        return None
    shared, private, ballooned, consumed = (int(amount or 0) * _MIB for amount in amounts)
    return VMMemory(shared, private, ballooned, consumed)
