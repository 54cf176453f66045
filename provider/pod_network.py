"""The Pods' network of one VCH: its addresses, what a guest is told of it, and whether Pods are isolated on it. Pure.

From the VCH's spec, and from what vSphere says of the port group. What keeps to it is the guest's gateway namespace
(`guest/vch_agent`) and, outside of the guest's reach, the port group.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from provider import addresses, errors, guestinfo
from provider.addresses import AddressPool
from provider.api.pod_network import Isolation, PeerTraffic, ServiceRouting
from provider.api.vch import VirtualContainerHostSpec
from provider.parentvm import Placement


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


def pools(spec: VirtualContainerHostSpec) -> Pools:
    """Raises InvalidSpec: the rules that no schema can check."""
    network, pods = spec.network, spec.pod_network
    management = _pool("spec.network.ranges", network.ranges, [network.gateway, spec.node.address])
    if pods is None:
        first, second = management.halves()
        if not len(second):
            raise errors.InvalidSpec(
                "spec.network.ranges",
                "a pod VM without spec.podNetwork has two addresses of these: give at least two",
            )
        return Pools(first, (second,))
    field = "spec.podNetwork.ranges"
    own = _pool(field, pods.ranges, [pods.gateway, network.gateway, spec.node.address])
    for theirs in _subnets(own, pods.prefix_length):
        for ours in _subnets(management, network.prefix_length):
            if theirs.overlaps(ours):
                # No Pod may reach the management network, so it would not reach its own gateway either.
                raise errors.InvalidSpec(
                    field, f"{theirs} is the management network {ours}: take another, or leave spec.podNetwork out"
                )
    return Pools(management, (own,))


def of_guest(spec: VirtualContainerHostSpec, own: Sequence[str]) -> guestinfo.PodNetwork:
    """What the guest whose Pod has these addresses, one of each family at most, is told."""
    network, pods = spec.network, spec.pod_network
    if pods is None:
        return guestinfo.PodNetwork(
            tuple(f"{address}/{network.prefix_length}" for address in own),
            _given(network.gateway),
            Isolation.NONE.value,
            (*pools(spec).management.texts(), spec.node.address),
            service_routing(spec).value,
        )
    both = pools(spec)
    denied = [*(str(subnet) for subnet in _subnets(both.management, network.prefix_length)), spec.node.address]
    if pods.peer_traffic is PeerTraffic.DENY:
        denied += [text for pool in both.pods for text in pool.texts()]
    return guestinfo.PodNetwork(
        tuple(f"{address}/{pods.prefix_length}" for address in own),
        _given(pods.gateway),
        pods.isolation.value,
        tuple(denied),
        service_routing(spec).value,
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


def _pool(field: str, ranges: list[str], reserved: list[str | None]) -> AddressPool:
    try:
        return addresses.parse_ranges(ranges, [address for address in reserved if address], field)
    except ValueError as error:
        raise errors.InvalidSpec(field, str(error)) from error


def _given(*gateways: str | None) -> tuple[str, ...]:
    return tuple(gateway for gateway in gateways if gateway)


def _subnets(pool: AddressPool, prefix_length: int) -> list[ipaddress.IPv4Network]:
    """Those that the addresses are in, each once."""
    ends = (end for each in pool.ranges for end in (each.first, each.last))
    return list(dict.fromkeys(ipaddress.IPv4Network((end, prefix_length), strict=False) for end in ends))
