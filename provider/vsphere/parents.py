"""Making parents: what a full clone needs to know of its source and of the port group before it can be asked for.

Forks are instant clones and need nothing of this.
"""

from typing import Any

from pyVmomi import vim

from provider.errors import ParentNotFound, ParentUnsuitable, PortGroupNotFound
from provider.parentvm import MakeParent, Placement
from provider.vsphere import configspec
from provider.vsphere.faults import moref
from provider.vsphere.inventory import these
from provider.vsphere.session import Session


async def full_clone_spec(session: Session, request: MakeParent, placement: Placement) -> vim.vm.CloneSpec:
    """Raises ParentNotFound, ParentUnsuitable, PortGroupNotFound."""
    if not placement.port_group:
        return configspec.full_clone_spec(request, placement, ())
    changes = await session.call("RetrieveCards", lambda: _card_changes(session, request, placement))
    return configspec.full_clone_spec(request, placement, changes)


def _card_changes(session: Session, request: MakeParent, placement: Placement) -> list[Any]:
    content = session.content
    source = session.object(vim.VirtualMachine, request.source)
    found = these(content, vim.VirtualMachine, [source], "config.hardware.device")
    if not found:
        raise ParentNotFound(f"what the parent is to be made from, {request.source}, is gone from the inventory")
    devices = found[0].properties.get("config.hardware.device") or ()
    changes = configspec.cards_on(_backing(session, placement), devices)
    if not changes:
        raise ParentUnsuitable(f"{found[0].name} has no network card that could be put on a port group")
    return changes


def _backing(session: Session, placement: Placement) -> Any:
    card = vim.vm.device.VirtualEthernetCard
    network = network_of(session, placement)
    if isinstance(network, vim.dvs.DistributedVirtualPortgroup):
        switch: Any = network.config.distributedVirtualSwitch
        connection = vim.dvs.PortConnection(portgroupKey=network.key, switchUuid=switch.uuid)
        return card.DistributedVirtualPortBackingInfo(port=connection)
    return card.NetworkBackingInfo(deviceName=network.name, network=network)


def network_of(session: Session, placement: Placement) -> Any:
    """The port group as the cluster names it: its managed object ID alone does not say of which type it is.

    Blocks. Raises PortGroupNotFound.
    """
    pool = session.object(vim.ResourcePool, placement.resource_pool)
    for found in these(session.content, vim.ComputeResource, [pool.owner], "network"):
        for network in found.properties.get("network") or ():
            if moref(network) == placement.port_group:
                return network
    raise PortGroupNotFound(f"the port group {placement.port_group} is not one of the cluster's any more")
