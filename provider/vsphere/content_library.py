"""A content library's item → a template in the VCH's folder: the one thing that needs vCenter's REST API (`rest`).

An item is an OVF template or a VM template; each has its own way to be deployed. OVAs that are in no library are
`ova_import`'s.
"""

from collections.abc import Sequence
from typing import Any

from provider.errors import AmbiguousName, LibraryItemNotFound, TaskFailed
from provider.parentvm import Placement
from provider.vsphere.inventory import listed
from provider.vsphere.rest import Rest, words
from provider.vsphere.session import Session

_TIMEOUT = 3600.0  # deploying copies the disks, and is answered when that is done
_LISTED = 50


async def deploy(session: Session, placement: Placement, library: str, item: str, name: str) -> str:
    """The moref of a new VM that is off. Raises LibraryItemNotFound, AmbiguousName, NameTaken, TaskFailed."""
    found = await session.call("FindLibraryItem", lambda: _find(session, library, item))
    return await session.call("DeployLibraryItem", lambda: _deploy(session, placement, found, name))


def _find(session: Session, library: str, item: str) -> dict[str, Any]:
    with Rest(session.endpoint, timeout=60.0) as rest:
        library_id = _one(
            rest.post("content", "library", body={"name": library}, action="find"),
            f"the content library {library!r}",
            lambda: _names(rest, "library", rest.get("content", "library")),
        )
        item_id = _one(
            rest.post("content", "library", "item", body={"name": item, "library_id": library_id}, action="find"),
            f"the item {item!r} of the content library {library!r}",
            lambda: _names(rest, "item", rest.get("content", "library", "item", library_id=library_id)),
        )
        found = rest.get("content", "library", "item", item_id)
        return {**found, "id": item_id}


def _deploy(session: Session, placement: Placement, item: dict[str, Any], name: str) -> str:
    with Rest(session.endpoint, timeout=_TIMEOUT) as rest:
        session.check()
        match item.get("type"):
            case "ovf":
                return _deploy_ovf(rest, placement, item["id"], name)
            case "vm-template":
                return _deploy_template(rest, placement, item["id"], name)
            case other:
                raise LibraryItemNotFound(
                    f"the content library's item {item.get('name')!r} is of the type {other!r}, not ovf or vm-template"
                )


def _deploy_ovf(rest: Rest, placement: Placement, item: str, name: str) -> str:
    spec: dict[str, Any] = {"name": name, "accept_all_EULA": True, "storage_provisioning": "thin"}
    if placement.datastore:
        spec["default_datastore_id"] = placement.datastore
    target = {"resource_pool_id": placement.resource_pool, "folder_id": placement.folder}
    answer = rest.post(
        *("vcenter", "ovf", "library-item", item), body={"deployment_spec": spec, "target": target}, action="deploy"
    )
    made = answer.get("resource_id") or {}
    if not answer.get("succeeded"):
        errors = (answer.get("error") or {}).get("errors") or ()
        said = "; ".join(filter(None, (words(each.get("error")) for each in errors)))
        raise TaskFailed(f"the content library's item was not deployed: {said or 'no reason given'}")
    if made.get("type") != "VirtualMachine":
        raise LibraryItemNotFound(f"the content library's item holds a {made.get('type')}, not one VM")
    return str(made["id"])


def _deploy_template(rest: Rest, placement: Placement, item: str, name: str) -> str:
    spec: dict[str, Any] = {
        "name": name,
        "placement": {"folder": placement.folder, "resource_pool": placement.resource_pool},
        "powered_on": False,
    }
    if placement.datastore:
        storage = {"datastore": placement.datastore}
        spec |= {"vm_home_storage": storage, "disk_storage": storage}
    return str(rest.post("vcenter", "vm-template", "library-items", item, body=spec, action="deploy"))


def _one(found: Sequence[str], what: str, candidates: Any) -> str:
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousName(f"{what} is there {len(found)} times")
    raise LibraryItemNotFound(f"{what} does not exist; there are: {listed(candidates())}")


def _names(rest: Rest, kind: str, ids: Sequence[str]) -> list[str]:
    path = ("content", "library") if kind == "library" else ("content", "library", "item")
    return [str(rest.get(*path, each).get("name")) for each in ids[:_LISTED]]
