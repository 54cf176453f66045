"""Names of the VCH's spec → managed objects: each may be a name, an inventory path or a managed object ID.

A name that is not found, or is there twice, is answered with the names that would do: the admin who reads the condition
has vCenter's inventory at hand only here.
"""

from collections.abc import Sequence
from typing import Any

from pyVmomi import vim, vmodl

from provider.errors import FolderNotFound, InventoryObjectNotFound, ParentNotFound, ResourcePoolNotFound
from provider.podvm import Placement
from provider.vsphere.faults import moref
from provider.vsphere.session import Session

_LISTED = 20  # candidates named in a message


async def resolve(session: Session, folder: str, resource_pool: str, parent: str) -> Placement:
    """Raises FolderNotFound, ResourcePoolNotFound, ParentNotFound."""
    found = [
        await session.call("RetrieveInventory", lambda w=wanted, k=kind, e=error: _find(session, w, k, e))  # type: ignore[misc]
        for wanted, kind, error in (
            (folder, vim.Folder, FolderNotFound),
            (resource_pool, vim.ResourcePool, ResourcePoolNotFound),
            (parent, vim.VirtualMachine, ParentNotFound),
        )
    ]
    return Placement(folder=found[0], resource_pool=found[1], parent=found[2])


def _find(session: Session, wanted: str, kind: type, error: type[InventoryObjectNotFound]) -> str:
    content = session.content
    if "/" in wanted:
        at = content.searchIndex.FindByInventoryPath(wanted.strip("/"))
        if isinstance(at, kind):
            return moref(at)
    all_of_kind = _list(content, kind)
    matches = [identity for identity, name in all_of_kind if wanted in (identity, name)]
    if len(matches) == 1:
        return matches[0]
    word = kind.__name__.rpartition(".")[2]
    if matches:
        raise error(f"{word} {wanted!r} is ambiguous: give its inventory path, or one of {', '.join(sorted(matches))}")
    names = sorted({name for _, name in all_of_kind})
    listed = ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")
    raise error(f"{word} {wanted!r} is not in the inventory; there are: {listed or 'none'}")


def _list(content: Any, kind: type) -> Sequence[tuple[str, str]]:
    """Managed object ID and name of everything of a kind, in one call besides the view's."""
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        collect = vmodl.query.PropertyCollector
        traversal = collect.TraversalSpec(name="view", type=vim.view.ContainerView, path="view", skip=False)
        spec = collect.FilterSpec(
            objectSet=[collect.ObjectSpec(obj=view, skip=True, selectSet=[traversal])],
            propSet=[collect.PropertySpec(type=kind, pathSet=["name"])],
        )
        answer = content.propertyCollector.RetrieveContents([spec])
        return [(moref(found.obj), str(found.propSet[0].val)) for found in answer if found.propSet]
    finally:
        view.DestroyView()
