"""Making parents: what a full clone needs to know of its source and of the port groups before it can be asked for.

Forks are instant clones and need nothing of this. What a card on a port group is made of is the same for a pod VM.
"""

from typing import Any

from pyVmomi import vim

from provider.errors import ParentNotFound, PortGroupNotFound
from provider.parentvm import MakeParent, Placement
from provider.vsphere import cards, configspec
from provider.vsphere.faults import moref
from provider.vsphere.inventory import these
from provider.vsphere.session import Session


async def full_clone_spec(session: Session, request: MakeParent, placement: Placement) -> vim.vm.CloneSpec:
    """Raises ParentNotFound, TemplateUnsuitable, PortGroupNotFound."""
    changes = await session.call("RetrieveCards", lambda: _card_changes(session, request, placement))
    return configspec.full_clone_spec(request, placement, changes)


def _card_changes(session: Session, request: MakeParent, placement: Placement) -> list[cards.Edit]:
    source = session.object(vim.VirtualMachine, request.source)
    found = these(session.content, vim.VirtualMachine, [source], cards.DEVICES)
    if not found:
        raise ParentNotFound(f"what the parent is to be made from, {request.source}, is gone from the inventory")
    own = cards.of_template(found[0].name, found[0].properties.get(cards.DEVICES) or ())
    backings = (
        backing(session, placement, placement.port_group),
        backing(session, placement, placement.pod_port_group),
    )
    return cards.made(own, backings, pods_apart=placement.pods_apart, pulls=request.pulls)


def backing(session: Session, placement: Placement, port_group: str) -> Any:
    """Of a card on that port group; None: none is named. Blocks. Raises PortGroupNotFound."""
    if not port_group:
        return None
    card = vim.vm.device.VirtualEthernetCard
    network = network_of(session, placement, port_group)
    if isinstance(network, vim.dvs.DistributedVirtualPortgroup):
        switch: Any = network.config.distributedVirtualSwitch
        connection = vim.dvs.PortConnection(portgroupKey=network.key, switchUuid=switch.uuid)
        return card.DistributedVirtualPortBackingInfo(port=connection)
    if isinstance(network, vim.OpaqueNetwork):
        summary: Any = network.summary
        return card.OpaqueNetworkBackingInfo(
            opaqueNetworkId=summary.opaqueNetworkId, opaqueNetworkType=summary.opaqueNetworkType
        )
    return card.NetworkBackingInfo(deviceName=network.name, network=network)


def network_of(session: Session, placement: Placement, port_group: str) -> Any:
    """The port group as the cluster names it: its managed object ID alone does not say of which type it is.

    Blocks. Raises PortGroupNotFound.
    """
    pool = session.object(vim.ResourcePool, placement.resource_pool)
    for found in these(session.content, vim.ComputeResource, [pool.owner], "network"):
        for network in found.properties.get("network") or ():
            if moref(network) == port_group:
                return network
    raise PortGroupNotFound(f"the port group {port_group} is not one of the cluster's any more")
