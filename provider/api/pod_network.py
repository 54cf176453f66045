"""The network of the Pods themselves: their port group, their addresses, and what keeps them apart.

A part of the VCH's spec, beside the management network in `supplies`. What guests are told of it, and whether the port
group keeps what the spec promises, is `provider.pod_network`'s.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from provider.api.fields import AS_SET, IPv4, IPv6, Model, OptionalInventoryName, rules
from provider.api.supplies import AddressRange


class Isolation(StrEnum):
    POD = "Pod"
    NAMESPACE = "Namespace"
    NONE = "None"


class PeerTraffic(StrEnum):
    VIA_GATEWAY = "ViaGateway"
    DENY = "Deny"


class ServiceRouting(StrEnum):
    GUEST = "Guest"
    NONE = "None"


class IPAM(StrEnum):
    POOL = "Pool"


_ENDS = "each.split('-')[0].trim(), each.split('-')[each.split('-').size() - 1].trim(), self.gateway"
_NUMBER = " + ".join(f"int(a.split('.')[{byte}]) * {256 ** (3 - byte)}" for byte in range(4))
_GATEWAY_OUTSIDE = (
    "!has(self.gateway) || !has(self.ranges) || "
    f"self.ranges.all(each, [[{_ENDS}].map(a, {_NUMBER})].all(n, n[2] < n[0] || n[2] > n[1]))",
    "the gateway is in one of the ranges, whose addresses are Pods': take it out of them",
)
_DENY_NEEDS_ISOLATION = (
    "self.peerTraffic != 'Deny' || self.isolation == 'Pod'",
    "peerTraffic Deny needs isolation Pod: without it Pods reach one another without the gateway",
)


_A_FAMILY = (
    "has(self.ranges) || has(self.ipv6)",
    "Pods need addresses: give ranges and prefixLength (IPv4), ipv6, or both",
)
_IPV4_IS_WHOLE = (
    "has(self.ranges) ? has(self.prefixLength) : !has(self.prefixLength) && !has(self.gateway)",
    "ranges and prefixLength belong together, and a gateway to them: give the two, or leave all three out",
)

IPv6Range = Annotated[
    str,
    Field(
        min_length=1,
        max_length=90,
        json_schema_extra=rules(
            (
                "self.split('-').size() <= 2 && self.split('-').all(each, isIP(each.trim()) && "
                "ip(each.trim()).family() == 6 && ip(each.trim()).isGlobalUnicast())",
                "each range is first-last or a single IPv6 address, not link-local",
            )
        ),
    ),
]


class IPv6Network(Model):
    """The Pods' addresses of IPv6."""

    ranges: Annotated[list[IPv6Range], Field(min_length=1, max_length=64, json_schema_extra=AS_SET)] = Field(
        description="IPv6 addresses for Pods: ranges (fd00:10::10-fd00:10::ffff) or single addresses."
    )
    prefix_length: Annotated[int, Field(ge=8, le=127)] = Field(description="Prefix length of the network.")
    gateway: IPv6 | None = Field(
        None, description="Default gateway of IPv6. Without it, Pods reach their own network only."
    )


class PodNetwork(Model):
    """The network of the Pods themselves."""

    model_config = ConfigDict(
        json_schema_extra=rules(_A_FAMILY, _IPV4_IS_WHOLE, _GATEWAY_OUTSIDE, _DENY_NEEDS_ISOLATION)
    )

    port_group: OptionalInventoryName = Field(
        "",
        description=(
            "Port group or network of the second network card of the pod VMs, which is the Pod's. Default: that of "
            "the template's second network card."
        ),
    )
    ranges: Annotated[list[AddressRange], Field(min_length=1, max_length=64, json_schema_extra=AS_SET)] = Field(
        default_factory=list,
        description=(
            "IPv4 addresses for Pods: ranges (10.1.0.16-10.1.0.250) or single addresses. Without them, Pods have IPv6 "
            "alone."
        ),
    )
    prefix_length: Annotated[int, Field(ge=8, le=31)] | None = Field(
        None, description="Prefix length of the IPv4 network."
    )
    gateway: IPv4 | None = Field(
        None, description="Default gateway of IPv4. Without it, Pods reach their own network only."
    )
    ipv6: IPv6Network | None = Field(
        None,
        description="IPv6 addresses for Pods. With IPv4 ranges besides, each Pod has an address of each family.",
    )
    isolation: Isolation = Field(
        Isolation.POD,
        description=(
            "What the port group keeps apart: each Pod from all others (Pod: its ports are of an isolated private "
            "VLAN), each namespace from the others (Namespace), or nothing (None)."
        ),
    )
    peer_traffic: PeerTraffic = Field(
        PeerTraffic.VIA_GATEWAY,
        description="Whether isolated Pods reach one another through the gateway (ViaGateway) or not at all (Deny).",
    )
    service_routing: ServiceRouting = Field(
        ServiceRouting.GUEST,
        description=(
            "Who sends traffic for the cluster's Services to their endpoints: the pod VM (Guest), or the network "
            "outside of it (None)."
        ),
    )
    ipam: IPAM = Field(IPAM.POOL, description="Where the Pods' addresses come from: Pool is the ranges here.")
