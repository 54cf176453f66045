"""The Pods' network of one VCH: its addresses, what a guest is told of it, and whether Pods are isolated on it. Pure.

From the VCH's spec, and from what vSphere says of the port group. What keeps to it is the guest's gateway namespace
(`guest/vch_agent`) and, outside of the guest's reach, the port group.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from provider import addresses, errors, guestinfo
from provider.addresses import AddressPool, Version
from provider.api.pod_network import Isolation, PeerTraffic, PodNetwork, ServiceRouting
from provider.api.vch import VirtualContainerHostSpec
from provider.parentvm import Placement

_Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Pools:
    """Whose addresses are whose: they never meet, also where both are on one network."""

    management: AddressPool
    pods: tuple[AddressPool, ...]  # of one family each, the primary first


@dataclass(frozen=True, slots=True)
class Finding:
    """What the condition PodNetworkIsolated says."""

    isolated: bool
    reason: str
    message: str


def pools(spec: VirtualContainerHostSpec, node: str) -> Pools:
    """`node`: the node's address. Raises InvalidSpec: the rules that no schema can check."""
    network, pods = spec.network, spec.pod_network
    management = _pool("spec.network.ranges", network.ranges, [network.gateway, node])
    if pods is None:
        first, second = management.halves()
        if not second.size:
            raise errors.InvalidSpec(
                "spec.network.ranges",
                "a pod VM without spec.podNetwork has two addresses of these: give at least two",
            )
        return Pools(first, (second,))
    ours = _subnets(management, network.prefix_length)
    reserved = [network.gateway, node]
    return Pools(management, tuple(_pods_pool(family, reserved, ours) for family in _families(pods).values()))


def of_guest(spec: VirtualContainerHostSpec, node: str, own: Sequence[str]) -> guestinfo.PodNetwork:
    """What the guest whose Pod has these addresses, one of each family at most, is told; `node`: its node's address."""
    network, pods = spec.network, spec.pod_network
    if pods is None:
        return guestinfo.PodNetwork(
            tuple(f"{address}/{network.prefix_length}" for address in own),
            (network.gateway,) if network.gateway else (),
            Isolation.NONE.value,
            (*pools(spec, node).management.texts(), node),
        )
    both = pools(spec, node)
    denied = [*(str(subnet) for subnet in _subnets(both.management, network.prefix_length)), node]
    if pods.peer_traffic is PeerTraffic.DENY:
        denied += [text for pool in both.pods for text in pool.texts()]
    families = _families(pods)
    told = [(address, families[ipaddress.ip_address(address).version]) for address in own]
    return guestinfo.PodNetwork(
        tuple(f"{address}/{family.prefix_length}" for address, family in told),
        tuple(family.gateway for _, family in told if family.gateway),
        pods.isolation.value,
        tuple(denied),
    )


def service_routing(spec: VirtualContainerHostSpec) -> ServiceRouting:
    """Who makes ClusterIPs work for the Pods."""
    return spec.pod_network.service_routing if spec.pod_network else ServiceRouting.GUEST


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
    if pods.isolation is not Isolation.POD:
        return Finding(False, "NotIsolatedBySpec", f"spec.podNetwork.isolation is {pods.isolation.value}")
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


@dataclass(frozen=True, slots=True)
class _Family:
    """What the spec says of the Pods' addresses of one family."""

    version: Version
    field: str
    ranges: list[str]
    prefix_length: int
    gateway: str | None


def _families(pods: PodNetwork) -> dict[int, _Family]:
    """By version, the primary first."""
    found: dict[int, _Family] = {}
    if pods.ranges and pods.prefix_length is not None:
        found[4] = _Family(4, "spec.podNetwork.ranges", pods.ranges, pods.prefix_length, pods.gateway)
    if (six := pods.ipv6) is not None:
        found[6] = _Family(6, "spec.podNetwork.ipv6.ranges", six.ranges, six.prefix_length, six.gateway)
    return found


def _pods_pool(family: _Family, reserved: Sequence[str | None], management: Sequence[_Subnet]) -> AddressPool:
    """Raises InvalidSpec."""
    own = _pool(family.field, family.ranges, [family.gateway, *reserved], family.version)
    for subnet in _subnets(own, family.prefix_length):
        for other in management:
            if subnet.overlaps(other):
                # No Pod may reach the management network, so it would not reach its own gateway either.
                raise errors.InvalidSpec(
                    family.field,
                    f"{subnet} is the management network {other}: take another, or leave spec.podNetwork out",
                )
        if family.version == 6 and family.prefix_length < 127 and subnet.network_address in own:
            raise errors.InvalidSpec(
                family.field,
                f"{subnet.network_address} is an address of every router of {subnet} (RFC 4291, 2.6.1): "
                "take it out of the ranges",
            )
    return own


def _pool(field: str, ranges: list[str], reserved: Sequence[str | None], version: Version = 4) -> AddressPool:
    try:
        return addresses.parse_ranges(ranges, [address for address in reserved if address], field, version)
    except ValueError as error:
        raise errors.InvalidSpec(field, str(error)) from error


def _subnets(pool: AddressPool, prefix_length: int) -> list[_Subnet]:
    """Those that the addresses are in, each once."""
    ends = (end for each in pool.ranges for end in (each.first, each.last))
    return list(dict.fromkeys(ipaddress.ip_network((end, prefix_length), strict=False) for end in ends))
