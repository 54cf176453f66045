"""Whether vSphere keeps the ports of a port group apart: what a private VLAN of a distributed switch says.

Traffic between ports of an *isolated* secondary VLAN passes none but a promiscuous port, the gateway's (VMware vSphere
Networking, "Private VLANs"). Nothing inside a guest can be relied on for that: its root may be the tenant's.
"""

from typing import Any

from pyVmomi import vim

from provider.parentvm import PortIsolation
from provider.vsphere.faults import moref
from provider.vsphere.inventory import Entry, these

_HOW = "put Pods on a distributed port group whose VLAN is an isolated private one"
_NSX = (
    "is of NSX, and what keeps its ports apart cannot be seen in vCenter: isolate them there, by a distributed "
    "firewall rule that drops traffic within the segment"
)


def look(content: Any, network: Entry) -> PortIsolation:
    """Of a port group as the cluster lists it. Blocks."""
    if isinstance(network.object, vim.OpaqueNetwork):
        return PortIsolation(False, f"the network {network.name!r} {_NSX}")
    if not isinstance(network.object, vim.dvs.DistributedVirtualPortgroup):
        return PortIsolation(
            False, f"the network {network.name!r} is of a standard switch, which has no private VLANs: {_HOW}"
        )
    found = these(
        content,
        vim.dvs.DistributedVirtualPortgroup,
        [network.object],
        *("config.defaultPortConfig", "config.distributedVirtualSwitch", "config.backingType"),
    )
    properties = found[0].properties if found else {}
    if properties.get("config.backingType") == "nsx":
        return PortIsolation(False, f"the port group {network.name!r} {_NSX}")
    vlan = getattr(properties.get("config.defaultPortConfig"), "vlan", None)
    if not isinstance(vlan, vim.dvs.VmwareDistributedVirtualSwitch.PvlanSpec):
        return PortIsolation(False, f"the port group {network.name!r} has no private VLAN: {_HOW}")
    kind = _kind(content, properties.get("config.distributedVirtualSwitch"), vlan.pvlanId)
    if kind == "isolated":
        return PortIsolation(True, f"the port group {network.name!r} is on the isolated private VLAN {vlan.pvlanId}")
    what = f"which is {kind}, not isolated" if kind else "which its switch does not have"
    return PortIsolation(
        False, f"the port group {network.name!r} is on the private VLAN {vlan.pvlanId}, {what}: {_HOW}"
    )


def _kind(content: Any, switch: Any, secondary: int) -> str:
    """Of a private VLAN: promiscuous, community or isolated; empty if the switch does not have it, or is hidden."""
    if not moref(switch):
        return ""
    found = these(content, vim.DistributedVirtualSwitch, [switch], "config")
    private = getattr(found[0].properties.get("config"), "pvlanConfig", None) if found else None
    return next((str(each.pvlanType) for each in private or () if each.secondaryVlanId == secondary), "")
