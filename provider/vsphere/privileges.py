"""What the account has to be allowed, and which of it it is not.

Told before anything fails for it, all at once: a missing privilege otherwise shows one by one, each only when a Pod
needs it. The list is the least-privilege role that the documentation describes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pyVmomi import vim

from provider.parentvm import Placement
from provider.vsphere.inventory import Entry
from provider.vsphere.parents import network_of
from provider.vsphere.session import Session
from provider.vsphere.templates import is_template

FOLDER = (
    "VirtualMachine.Config.AdvancedConfig",
    "VirtualMachine.Config.CPUCount",
    "VirtualMachine.Config.Memory",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Inventory.CreateFromExisting",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Provisioning.Clone",
)
"""On the folder, propagating to the VMs in it: parents and pod VMs."""

FOLDER_WITH_PORT_GROUP = "VirtualMachine.Config.EditDevice"
RESOURCE_POOL = ("Resource.AssignVMToPool",)
DATASTORE = ("Datastore.AllocateSpace",)
PORT_GROUP = ("Network.Assign",)
TEMPLATE = ("VirtualMachine.Provisioning.DeployTemplate",)
SOURCE_VM = ("VirtualMachine.Provisioning.Clone",)


def needed(session: Session, placement: Placement, templates: Sequence[Entry]) -> list[tuple[Any, str, Sequence[str]]]:
    """Object, name, privileges. Blocks."""

    def on(kind: type, moref: str, privileges: Sequence[str]) -> tuple[Any, str, Sequence[str]]:
        return session.object(kind, moref), placement.names.get(moref, moref), privileges

    folder = (*FOLDER, FOLDER_WITH_PORT_GROUP) if placement.port_group else FOLDER
    wanted = [
        on(vim.Folder, placement.folder, folder),
        on(vim.ResourcePool, placement.resource_pool, RESOURCE_POOL),
    ]
    if placement.datastore:
        wanted.append(on(vim.Datastore, placement.datastore, DATASTORE))
    if placement.port_group:
        network = network_of(session, placement)
        wanted.append((network, placement.names.get(placement.port_group, placement.port_group), PORT_GROUP))
    for template in templates:
        wanted.append((template.object, template.name, TEMPLATE if is_template(template) else SOURCE_VM))
    return wanted


async def missing(session: Session, placement: Placement, templates: Sequence[Entry]) -> Mapping[str, Sequence[str]]:
    """Name of the object → privileges that are lacking, for objects that lack some."""
    return await session.call("HasPrivilegeOnEntities", lambda: _missing(session, placement, templates))


def _missing(session: Session, placement: Placement, templates: Sequence[Entry]) -> Mapping[str, Sequence[str]]:
    content = session.content
    key = content.sessionManager.currentSession.key
    lacking: dict[str, Sequence[str]] = {}
    for entity, name, privileges in needed(session, placement, templates):
        for answer in content.authorizationManager.HasPrivilegeOnEntities([entity], key, list(privileges)):
            absent = [each.privId for each in answer.privAvailability if not each.isGranted]
            if absent:
                lacking[name] = sorted(absent)
    return lacking
