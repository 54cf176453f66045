"""Looking things up in vCenter's inventory by name, inventory path or managed object ID.

Blocking functions, for use within `Session.call`. What a name of the VCH's spec means is `placement`'s business, what a
template is `templates`'; here it is only how to list objects, and how to say that a name is not among them: with the
names that would do, since the admin who reads the condition has vCenter's inventory at hand only there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pyVmomi import vim, vmodl

from provider.errors import AmbiguousName, InventoryObjectNotFound
from provider.vsphere.faults import moref

_LISTED = 20  # candidates named in a message

_collect = vmodl.query.PropertyCollector


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of the inventory with the properties that were asked for."""

    object: Any
    name: str
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def moref(self) -> str:
        return moref(self.object)


def everything(content: Any, kind: type, within: Any, *properties: str) -> list[Entry]:
    """All objects of a kind below one, in one call besides the view's."""
    view = content.viewManager.CreateContainerView(within, [kind], True)
    try:
        in_view = _collect.TraversalSpec(name="view", type=vim.view.ContainerView, path="view", skip=False)
        return _retrieve(content, kind, [_collect.ObjectSpec(obj=view, skip=True, selectSet=[in_view])], properties)
    finally:
        view.DestroyView()


def these(content: Any, kind: type, objects: Iterable[Any], *properties: str) -> list[Entry]:
    """Some objects of a kind, in one call. Those that are gone are left out."""
    specs = [_collect.ObjectSpec(obj=one, skip=False) for one in objects]
    return _retrieve(content, kind, specs, properties) if specs else []


def choose(
    content: Any, entries: Sequence[Entry], wanted: str, what: str, error: type[InventoryObjectNotFound]
) -> Entry:
    """The entry that `wanted` means. `what` says it in words, e.g. `resource pool`. Raises `error`, AmbiguousName."""
    if "/" in wanted:
        at = moref(content.searchIndex.FindByInventoryPath(wanted.strip("/")))
        matches = [entry for entry in entries if entry.moref == at]
    else:
        matches = [entry for entry in entries if wanted in (entry.moref, entry.name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        paths = sorted(path(entry) for entry in matches[:_LISTED])
        raise AmbiguousName(f"the {what} {wanted!r} is ambiguous: give one of the inventory paths {', '.join(paths)}")
    raise error(f"the {what} {wanted!r} is not in the inventory; there are: {listed(entry.name for entry in entries)}")


def listed(names: Iterable[str]) -> str:
    """Candidates for a message."""
    known = sorted(set(names))
    return (", ".join(known[:_LISTED]) + (", …" if len(known) > _LISTED else "")) or "none"


def path(entry: Entry) -> str:
    """An entry's inventory path, as `FindByInventoryPath` takes it; one call for each level."""
    names, at = [entry.name], entry.object.parent
    while at is not None and at.parent is not None:  # the root folder is in no path
        names.append(unquote(at.name))
        at = at.parent
    return "/" + "/".join(reversed(names))


def ancestor(thing: Any, kind: type) -> Any:
    """The nearest object of a kind that holds this one, or None."""
    while thing is not None and not isinstance(thing, kind):
        thing = thing.parent
    return thing


def _retrieve(content: Any, kind: type, objects: list[Any], properties: Sequence[str]) -> list[Entry]:
    spec = _collect.FilterSpec(
        objectSet=objects,
        propSet=[_collect.PropertySpec(type=kind, pathSet=["name", *properties])],
        reportMissingObjectsInResults=True,
    )
    entries = []
    for found in content.propertyCollector.RetrieveContents([spec]):
        for missing in found.missingSet or ():
            if isinstance(missing.fault, vim.fault.NotAuthenticated):
                raise missing.fault  # not gone: the session is
        values = {each.name: each.val for each in found.propSet or ()}
        if "name" in values:
            # vCenter escapes %, / and \ in names; people do not.
            entries.append(Entry(found.obj, unquote(str(values["name"])), values))
    return entries
