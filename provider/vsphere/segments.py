"""Which VLANs the ports of a port group reach: whether two port groups are two networks, as far as vCenter knows it.

A VLAN ID means one network wherever it is seen: that two switches do not share an uplink cannot be known here, and what
is not known to be apart is not called so. Whether ports of *one* port group are kept apart is `isolation`'s.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pyVmomi import vim

from provider.parentvm import NamespacePorts, PortReach
from provider.vsphere.faults import moref
from provider.vsphere.inventory import Entry, these

_NSX = "is of NSX, and which network it is cannot be seen in vCenter: check there that each namespace has its own"
_TRUNK = 4095
"""On a standard switch: the guest chooses the VLAN (vSphere Networking, "VGT")."""
_ALL = ((0, _TRUNK),)

_Switch = vim.dvs.VmwareDistributedVirtualSwitch


def of_namespaces(content: Any, networks: Mapping[str, Entry], hosts: Sequence[Entry]) -> dict[str, NamespacePorts]:
    """By namespace. `hosts`: on which standard switches are looked at. Blocks."""
    looked = {each.moref: _look(content, each, hosts) for each in networks.values()}
    return {
        namespace: NamespacePorts(each.moref, each.name, looked[each.moref]) for namespace, each in networks.items()
    }


def _look(content: Any, network: Entry, hosts: Sequence[Entry]) -> PortReach:
    if isinstance(network.object, vim.OpaqueNetwork):
        return PortReach(unknown=_NSX)
    if isinstance(network.object, vim.dvs.DistributedVirtualPortgroup):
        return _distributed(content, network.object)
    return _standard(content, network.name, hosts)


def _distributed(content: Any, port_group: Any) -> PortReach:
    paths = ("config.defaultPortConfig.vlan", "config.distributedVirtualSwitch", "config.backingType")
    found = these(content, vim.dvs.DistributedVirtualPortgroup, [port_group], *paths)
    properties = found[0].properties if found else {}
    if properties.get("config.backingType") == "nsx":
        return PortReach(unknown=_NSX)
    vlan = properties.get("config.defaultPortConfig.vlan")
    if isinstance(vlan, _Switch.PvlanSpec):
        return PortReach(_private(content, properties.get("config.distributedVirtualSwitch"), vlan.pvlanId))
    if isinstance(vlan, _Switch.TrunkVlanSpec):
        return PortReach(tuple((each.start, each.end) for each in vlan.vlanId))
    if isinstance(vlan, _Switch.VlanIdSpec):
        return PortReach(((vlan.vlanId, vlan.vlanId),))
    return PortReach(unknown="has a VLAN that cannot be seen: the account needs System.Read on it")


def _private(content: Any, switch: Any, secondary: int) -> tuple[tuple[int, int], ...]:
    """A promiscuous port reaches all of its primary VLAN; one of a community, or an isolated one, its own VLAN only
    (what answers it is promiscuous, the gateway's)."""
    paths = ("config.pvlanConfig",)
    found = these(content, vim.DistributedVirtualSwitch, [switch], *paths) if moref(switch) else []
    private = (found[0].properties.get("config.pvlanConfig") if found else None) or ()
    if not any(each.secondaryVlanId == secondary and str(each.pvlanType) == "promiscuous" for each in private):
        return ((secondary, secondary),)
    return tuple((each.secondaryVlanId,) * 2 for each in private if each.primaryVlanId == secondary)


def _standard(content: Any, name: str, hosts: Sequence[Entry]) -> PortReach:
    """Each host has a port group of that name for itself."""
    reached = set()
    for host in these(content, vim.HostSystem, [each.object for each in hosts], "config.network.portgroup"):
        for group in host.properties.get("config.network.portgroup") or ():
            if group.spec.name == name:
                reached.add(group.spec.vlanId)
    if _TRUNK in reached:
        return PortReach(_ALL)
    if not reached:
        return PortReach(unknown="has a VLAN that cannot be seen: the account needs System.Read on the hosts")
    return PortReach(tuple((each, each) for each in sorted(reached)))
