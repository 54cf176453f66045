"""The Pods' network of one VCH: its addresses, and what a guest is told of it. Pure.

From the VCH's spec. What keeps to it is the guest's gateway namespace (`guest/vch_agent`) and, outside of the guest's
reach, the port group: whether that does is judged in `provider.pod_isolation`.
"""

import ipaddress
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from provider import addresses, errors, guestinfo
from provider.addresses import AddressPool, Version
from provider.api.pod_network import IPAM, Isolation, PeerTraffic, PodNetwork, ServiceRouting
from provider.api.vch import VirtualContainerHostSpec

_EVERYBODY = ""

_Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Pools:
    """Whose addresses are whose: they never meet, also where both are on one network."""

    management: AddressPool
    pods: tuple[AddressPool, ...]  # of one family each, the primary first; none where each namespace has its own
    namespaces: Mapping[str, tuple[AddressPool, ...]] = field(default_factory=dict)


def pools(spec: VirtualContainerHostSpec, node: str) -> Pools:
    """`node`: the node's address. Raises InvalidSpec: the rules that no schema can check."""
    network, pods = spec.network, spec.pod_network
    management = _management(spec, node)
    if pods is None:
        first, second = management.halves()
        if not second.size:
            raise errors.InvalidSpec(
                "spec.network.ranges",
                "a pod VM without spec.podNetwork has two addresses of these: give at least two",
            )
        return Pools(first, (second,))
    if leased(spec):
        return Pools(management, ())
    ours = _subnets(management, network.prefix_length)
    networks = _networks(pods)
    own = {
        namespace: tuple(_pods_pool(family, [network.gateway, node], ours) for family in each.families)
        for namespace, each in networks.items()
    }
    for one, other in itertools.combinations(own, 2):
        _check_others(networks[one], own[one], networks[other], own[other])
    if pods.isolation is Isolation.NAMESPACE:
        return Pools(management, (), own)
    return Pools(management, own[_EVERYBODY])


def leased(spec: VirtualContainerHostSpec) -> bool:
    """The Pods' addresses are a DHCP server's to give."""
    return spec.pod_network is not None and spec.pod_network.ipam is IPAM.DHCP


def management_networks(spec: VirtualContainerHostSpec, node: str) -> list[_Subnet]:
    """Those that the pod VMs' own addresses are in; `node`: the node's address."""
    return _subnets(_management(spec, node), spec.network.prefix_length)


def of_guest(spec: VirtualContainerHostSpec, node: str, own: Sequence[str], namespace: str) -> guestinfo.PodNetwork:
    """What the guest whose Pod has these addresses, one of each family at most, is told; `node`: its node's address."""
    network, pods = spec.network, spec.pod_network
    if pods is None:
        return guestinfo.PodNetwork(
            tuple(f"{address}/{network.prefix_length}" for address in own),
            (network.gateway,) if network.gateway else (),
            Isolation.NONE.value,
            (*pools(spec, node).management.texts(), node),
        )
    denied = [*map(str, management_networks(spec, node)), node]
    if pods.peer_traffic is PeerTraffic.DENY:
        denied += [text for pool in pools(spec, node).pods for text in pool.texts()]
    if leased(spec):
        return guestinfo.PodNetwork((), (), pods.isolation.value, tuple(denied), dhcp=True)
    its = _networks(pods)[namespace if pods.isolation is Isolation.NAMESPACE else _EVERYBODY]
    families = {family.version: family for family in its.families}
    told = [(address, families[ipaddress.ip_address(address).version]) for address in own]
    return guestinfo.PodNetwork(
        tuple(f"{address}/{family.prefix_length}" for address, family in told),
        tuple(family.gateway for _, family in told if family.gateway),
        pods.isolation.value,
        tuple(denied),
    )


def has_ipv4(spec: VirtualContainerHostSpec) -> bool:
    """Whether its Pods have addresses of IPv4."""
    pods = spec.pod_network
    return (
        pods is None
        or leased(spec)
        or any(family.version == 4 for each in _networks(pods).values() for family in each.families)
    )


def service_routing(spec: VirtualContainerHostSpec) -> ServiceRouting:
    """Who makes ClusterIPs work for the Pods."""
    return spec.pod_network.service_routing if spec.pod_network else ServiceRouting.GUEST


@dataclass(frozen=True, slots=True)
class _Family:
    """What the spec says of the Pods' addresses of one family."""

    version: Version
    field: str
    ranges: list[str]
    prefix_length: int
    gateway: str | None


@dataclass(frozen=True, slots=True)
class _Network:
    """A network of Pods, as the spec has it."""

    field: str  # where
    port_group: str
    families: tuple[_Family, ...]  # the primary first


def _networks(pods: PodNetwork) -> Mapping[str, _Network]:
    """By namespace, or the one of everybody. Raises InvalidSpec."""
    at = "spec.podNetwork"
    if pods.isolation is not Isolation.NAMESPACE:
        return {_EVERYBODY: _Network(at, pods.port_group, _families(pods))}
    if not pods.namespaces:
        raise errors.InvalidSpec(
            f"{at}.namespaces", "isolation Namespace needs the network of each namespace: give them, or another one"
        )
    found = {}
    for each in pods.namespaces:
        its = f"{at}.namespaces[{each.namespace}]"
        four = _Family(4, f"{its}.ranges", each.ranges, each.prefix_length, each.gateway)
        found[each.namespace] = _Network(its, each.port_group, (four,))
    return found


def _families(pods: PodNetwork) -> tuple[_Family, ...]:
    """Raises InvalidSpec."""
    found: list[_Family] = []
    if pods.ranges and pods.prefix_length is not None:
        found.append(_Family(4, "spec.podNetwork.ranges", pods.ranges, pods.prefix_length, pods.gateway))
    if (six := pods.ipv6) is not None:
        found.append(_Family(6, "spec.podNetwork.ipv6.ranges", six.ranges, six.prefix_length, six.gateway))
    if not found:
        raise errors.InvalidSpec("spec.podNetwork", "Pods need addresses: give ranges and prefixLength, ipv6, or both")
    return tuple(found)


def _management(spec: VirtualContainerHostSpec, node: str) -> AddressPool:
    """All of `spec.network`. Raises InvalidSpec."""
    return _pool("spec.network.ranges", spec.network.ranges, [spec.network.gateway, node])


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


def _check_others(one: _Network, ones: Sequence[AddressPool], other: _Network, others: Sequence[AddressPool]) -> None:
    """Two namespaces' networks, which have the same families."""
    for family, its, theirs, pool in zip(one.families, ones, other.families, others, strict=True):
        if its.meets(pool):
            raise errors.InvalidSpec(theirs.field, f"an address in them is also in {family.field}: each is one Pod's")
        if one.port_group == other.port_group:
            continue
        for subnet in _subnets(pool, theirs.prefix_length):
            if any(subnet.overlaps(ours) for ours in _subnets(its, family.prefix_length)):
                # Each would look for the other's Pods on its own port group.
                raise errors.InvalidSpec(
                    theirs.field, f"{subnet} is the network of {one.field}, on another port group: take another"
                )


def _pool(field: str, ranges: list[str], reserved: Sequence[str | None], version: Version = 4) -> AddressPool:
    try:
        return addresses.parse_ranges(ranges, [address for address in reserved if address], field, version)
    except ValueError as error:
        raise errors.InvalidSpec(field, str(error)) from error


def _subnets(pool: AddressPool, prefix_length: int) -> list[_Subnet]:
    """Those that the addresses are in, each once."""
    ends = (end for each in pool.ranges for end in (each.first, each.last))
    return list(dict.fromkeys(ipaddress.ip_network((end, prefix_length), strict=False) for end in ends))
