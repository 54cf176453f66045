"""What the account has to be allowed, and which of it it is not.

Told before anything fails for it, all at once: a missing privilege otherwise shows one by one, each only when a Pod
needs it. The list is the least-privilege role that the documentation describes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pyVmomi import vim

from provider.parentvm import Placement
from provider.vsphere.faults import moref
from provider.vsphere.inventory import Entry, these
from provider.vsphere.parents import network_of
from provider.vsphere.session import Session
from provider.vsphere.templates import is_template

FOLDER = (
    "VirtualMachine.Config.AdvancedConfig",
    "VirtualMachine.Config.CPUCount",
    "VirtualMachine.Config.EditDevice",
    "VirtualMachine.Config.Memory",
    "VirtualMachine.Interact.DeviceConnection",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Inventory.CreateFromExisting",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Provisioning.Clone",
)
"""On the folder, propagating to the VMs in it: parents and pod VMs."""

RESOURCE_POOL = ("Resource.AssignVMToPool",)
DATASTORE = ("Datastore.AllocateSpace",)
PORT_GROUP = ("Network.Assign",)
TEMPLATE = ("VirtualMachine.Provisioning.DeployTemplate",)
SOURCE_VM = ("VirtualMachine.Provisioning.Clone",)


def needed(session: Session, placement: Placement, templates: Sequence[Entry]) -> list[tuple[Any, str, Sequence[str]]]:
    """Object, name, privileges. Blocks."""

    def on(kind: type, at: str, privileges: Sequence[str]) -> tuple[Any, str, Sequence[str]]:
        return session.object(kind, at), placement.names.get(at, at), privileges

    wanted = [
        on(vim.Folder, placement.folder, FOLDER),
        on(vim.ResourcePool, placement.resource_pool, RESOURCE_POOL),
    ]
    if placement.datastore:
        wanted.append(on(vim.Datastore, placement.datastore, DATASTORE))
    of_namespaces = (each.port_group for each in placement.namespaces.values())
    for port_group in dict.fromkeys(filter(None, (placement.port_group, placement.pod_port_group, *of_namespaces))):
        network = network_of(session, placement, port_group)
        wanted.append((network, placement.names.get(port_group, port_group), PORT_GROUP))
    if not (placement.port_group and placement.pod_port_group):
        # Cards stay where the template has them, and even so whoever connects one names its network.
        of_templates = {
            moref(each): each for template in templates for each in template.properties.get("network") or ()
        }
        networks = these(session.content, vim.Network, of_templates.values())
        wanted += [(network.object, network.name, PORT_GROUP) for network in networks]
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
