"""Whether Pods are isolated on their network, as the VCH's spec promises. Pure.

From the spec, and from what vSphere says of the port groups (`provider.vsphere.isolation`, `segments`). Addresses are
`provider.pod_network`'s.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from provider.api.pod_network import Isolation
from provider.api.vch import VirtualContainerHostSpec
from provider.parentvm import NamespacePorts, Placement

_APART = ": give each of spec.podNetwork.namespaces a port group with a VLAN of its own"
_LISTED = 20  # namespaces named in a message


@dataclass(frozen=True, slots=True)
class Finding:
    """What the condition PodNetworkIsolated says."""

    isolated: bool
    reason: str
    message: str


def isolation(spec: VirtualContainerHostSpec, placed: Placement) -> Finding:
    """Whether what the spec promises is so."""
    pods = spec.pod_network
    if pods is None:
        return Finding(
            False,
            "SingleNetwork",
            "Pods are on the network of their VMs, where they reach one another's VMs: "
            "give the VirtualContainerHost a spec.podNetwork",
        )
    if pods.isolation is Isolation.NONE:
        return Finding(False, "NotIsolatedBySpec", f"spec.podNetwork.isolation is {pods.isolation.value}")
    if pods.isolation is Isolation.NAMESPACE:
        return _namespaces_apart(placed.namespaces)
    if placed.pod_ports is None:
        return Finding(
            False,
            "PortGroupNotIsolated",
            "spec.podNetwork.portGroup is not given, and the network of the template's second card is not looked at: "
            "name the port group",
        )
    return Finding(
        placed.pod_ports.isolated,
        "Isolated" if placed.pod_ports.isolated else "PortGroupNotIsolated",
        placed.pod_ports.message,
    )


def _namespaces_apart(ports: Mapping[str, NamespacePorts]) -> Finding:
    for one, other in itertools.combinations(sorted(ports), 2):
        if why := _together(ports[one], ports[other]):
            return Finding(
                False, "PortGroupNotIsolated", f"the namespaces {one} and {other} are not kept apart: {why}{_APART}"
            )
    for namespace, each in sorted(ports.items()):
        if each.reach.unknown and len(ports) > 1:
            return Finding(
                False,
                "PortGroupNotIsolated",
                f"whether the namespace {namespace} is kept apart is not known: the port group {each.name!r} "
                f"{each.reach.unknown}",
            )
    listed = ", ".join(f"{namespace} on {ports[namespace].name!r}" for namespace in sorted(ports)[:_LISTED])
    more = f" and {len(ports) - _LISTED} more" if len(ports) > _LISTED else ""
    return Finding(True, "Isolated", f"each namespace has a VLAN of its own: {listed}{more}")


def _together(one: NamespacePorts, other: NamespacePorts) -> str:
    if one.port_group == other.port_group:
        return f"both are on the port group {one.name!r}"
    if not one.reach.meets(other.reach):
        return ""
    vlan = max(max(a, b) for a, _ in one.reach.vlans for b, _ in other.reach.vlans if _shared(one, other, max(a, b)))
    what = f"the VLAN {vlan}" if vlan else "no VLAN, so the same network"
    return f"the port groups {one.name!r} and {other.name!r} have {what}"


def _shared(one: NamespacePorts, other: NamespacePorts, vlan: int) -> bool:
    return all(any(a <= vlan <= b for a, b in each.reach.vlans) for each in (one, other))
