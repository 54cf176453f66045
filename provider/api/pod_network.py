"""The network of the Pods themselves: their port group, their addresses, and what keeps them apart.

A part of the VCH's spec, beside the management network in `supplies`. What guests are told of it, and whether the port
group keeps what the spec promises, is `provider.pod_network`'s.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from provider.api.fields import AS_SET, InventoryName, IPv4, IPv6, Model, OptionalInventoryName, as_map, rules, said
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
    DHCP = "DHCP"


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
    "self.isolation == 'Namespace' || self.ipam == 'DHCP' || has(self.ranges) || has(self.ipv6)",
    "Pods need addresses: give ranges and prefixLength (IPv4), ipv6, or both, or take them from a DHCP server "
    "(ipam: DHCP)",
)
_DHCP_GIVES_THEM = (
    "self.ipam != 'DHCP' || "
    "!(has(self.ranges) || has(self.prefixLength) || has(self.gateway) || has(self.ipv6) || has(self.namespaces))",
    "with ipam DHCP, the addresses, their prefix length and the gateway are the DHCP server's to give: "
    "leave ranges, prefixLength, gateway, ipv6 and namespaces out",
)
_DENY_NEEDS_POOL = (
    "self.peerTraffic != 'Deny' || self.ipam == 'Pool'",
    "peerTraffic Deny needs ipam Pool: of leased addresses nobody knows which are Pods'; "
    "let the network's gateway keep them apart, or NetworkPolicies",
)
_IPV4_IS_WHOLE = (
    "has(self.ranges) ? has(self.prefixLength) : !has(self.prefixLength) && !has(self.gateway)",
    "ranges and prefixLength belong together, and a gateway to them: give the two, or leave all three out",
)
_NAMESPACES_WITH_NAMESPACE = (
    "(self.isolation == 'Namespace') == has(self.namespaces)",
    "isolation Namespace needs namespaces, each with its portGroup and ranges, and no other isolation has them",
)
_NO_NETWORK_BESIDE_NAMESPACES = (
    "self.isolation != 'Namespace' || "
    "!(has(self.portGroup) || has(self.ranges) || has(self.prefixLength) || has(self.gateway) || has(self.ipv6))",
    "with isolation Namespace each of namespaces has its own portGroup, ranges, prefixLength and gateway (IPv4 only): "
    "give them there",
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

_Ranges = Annotated[list[AddressRange], Field(min_length=1, max_length=64, json_schema_extra=AS_SET)]
_NamespaceRanges = Annotated[list[AddressRange], Field(min_length=1, max_length=8, json_schema_extra=AS_SET)]
"""Few: the API server bounds what the rules of all of them together may cost."""
_PrefixLength = Annotated[int, Field(ge=8, le=31)]
_RANGES = "IPv4 addresses for Pods: ranges (10.1.0.16-10.1.0.250) or single addresses."
_PREFIX_LENGTH = "Prefix length of the IPv4 network."
_GATEWAY = "Default gateway of IPv4. Without it, Pods reach their own network only."

_NamespaceName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        json_schema_extra=said("the name of a namespace has lower case letters, digits and - only"),
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


class NamespaceNetwork(Model):
    """The network of one namespace's Pods, which is of IPv4."""

    namespace: _NamespaceName = Field(description="Name of the namespace.")
    port_group: InventoryName = Field(
        description="Port group or network of the Pods of this namespace, with a VLAN that no other namespace has."
    )
    ranges: _NamespaceRanges = Field(description=_RANGES)
    prefix_length: _PrefixLength = Field(description=_PREFIX_LENGTH)
    gateway: IPv4 | None = Field(None, description=_GATEWAY)


class PodNetwork(Model):
    """The network of the Pods themselves."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            _A_FAMILY,
            _IPV4_IS_WHOLE,
            _GATEWAY_OUTSIDE,
            _DENY_NEEDS_ISOLATION,
            _DHCP_GIVES_THEM,
            _DENY_NEEDS_POOL,
            _NAMESPACES_WITH_NAMESPACE,
            _NO_NETWORK_BESIDE_NAMESPACES,
        )
    )

    port_group: OptionalInventoryName = Field(
        "",
        description=(
            "Port group or network of the second network card of the pod VMs, which is the Pod's. Default: that of "
            "the template's second network card."
        ),
    )
    ranges: _Ranges = Field(default_factory=list, description=f"{_RANGES} Without them, Pods have IPv6 alone.")
    prefix_length: _PrefixLength | None = Field(None, description=_PREFIX_LENGTH)
    gateway: IPv4 | None = Field(None, description=_GATEWAY)
    ipv6: IPv6Network | None = Field(
        None,
        description="IPv6 addresses for Pods. With IPv4 ranges besides, each Pod has an address of each family.",
    )
    namespaces: Annotated[
        list[NamespaceNetwork], Field(min_length=1, max_length=64, json_schema_extra=as_map("namespace"))
    ] = Field(
        default_factory=list,
        description=(
            "With isolation Namespace: the network of each namespace whose Pods may run here, of IPv4 only, and then "
            "there are no ranges, prefixLength, gateway, ipv6 and portGroup beside them. Pods of other namespaces are "
            "refused."
        ),
    )
    isolation: Isolation = Field(
        Isolation.POD,
        description=(
            "What the port group keeps apart: each Pod from all others (Pod: its ports are of an isolated private "
            "VLAN), each namespace from the others (Namespace: each has a port group of its own), or nothing (None)."
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
    ipam: IPAM = Field(
        IPAM.POOL,
        description=(
            "Where the Pods' addresses come from: the ranges here (Pool), or a DHCP server of the port group (DHCP, "
            "IPv4 only, not with isolation Namespace)."
        ),
    )
