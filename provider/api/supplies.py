"""What guests of a VirtualContainerHost are given: addresses on a network, name servers, registries, a proxy.

Parts of the VCH's spec. `provider.addresses` hands out the addresses; name servers of the cluster, registries and proxy
are set up in parent VMs. The network of the Pods themselves is the neighbour `pod_network`.
"""

from typing import Annotated

from pydantic import Field

from provider.api.fields import (
    AS_SET,
    IN_ORDER,
    IP,
    URL,
    CABundleRef,
    HostPort,
    IPv4,
    Model,
    OptionalInventoryName,
    OptionalURL,
    as_map,
    rules,
    said,
)

AddressRange = Annotated[
    str,
    Field(
        min_length=1,
        max_length=40,
        json_schema_extra=rules(
            (
                "self.split('-').size() <= 2 && "
                "self.split('-').all(each, isIP(each.trim()) && ip(each.trim()).family() == 4)",
                "each range is first-last or a single IPv4 address",
            )
        ),
    ),
]


class ClusterDNS(Model):
    """The cluster's own name service."""

    servers: Annotated[list[IP], Field(max_length=3, json_schema_extra=IN_ORDER)] = Field(
        default_factory=list,
        description=(
            "Name servers of Pods whose dnsPolicy is ClusterFirst, in the order in which they are asked: the address "
            "of the cluster's DNS Service. Default: those of the pod VM."
        ),
    )
    domain: Annotated[
        str,
        Field(
            min_length=1,
            max_length=253,
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            json_schema_extra=said("a DNS domain such as cluster.local, without a dot at its end"),
        ),
    ] = Field("cluster.local", description="The cluster's DNS domain.")


class Network(Model):
    """The management network of the pod VMs, and the addresses for them."""

    port_group: OptionalInventoryName = Field(
        "",
        description=(
            "Port group or network of the first network card of the pod VMs. Default: that of the template's first "
            "network card."
        ),
    )
    ranges: Annotated[list[AddressRange], Field(min_length=1, max_length=64, json_schema_extra=AS_SET)] = Field(
        description="Addresses for pod VMs: ranges (10.0.0.10-10.0.0.250) or single addresses."
    )
    prefix_length: Annotated[int, Field(ge=8, le=31)] = Field(description="Prefix length of the network.")
    gateway: IPv4 | None = Field(None, description="Default gateway. Without it, guests reach their own network only.")
    nameservers: Annotated[list[IPv4], Field(max_length=3, json_schema_extra=IN_ORDER)] = Field(
        default_factory=list, description="Name servers for the guests, in the order in which they are asked."
    )
    cluster_dns: ClusterDNS | None = Field(
        None, alias="clusterDNS", description="The cluster's own name service. Default: Pods do not know of one."
    )


class RegistryMirror(Model):
    """Where the images of a registry are pulled from instead."""

    registry: HostPort = Field(description="Registry as image references name it (host[:port]).")
    endpoints: Annotated[list[URL], Field(min_length=1, max_length=8, json_schema_extra=IN_ORDER)] = Field(
        description="URLs of the mirrors, tried in this order before the registry itself."
    )


class Registries(Model):
    """How guests reach image registries."""

    mirrors: Annotated[list[RegistryMirror], Field(max_length=32, json_schema_extra=as_map("registry"))] = Field(
        default_factory=list, description="Mirrors, for each registry that has some."
    )
    insecure: Annotated[list[HostPort], Field(max_length=32, json_schema_extra=AS_SET)] = Field(
        default_factory=list, description="Registries (host[:port]) that are spoken to without verified TLS."
    )
    ca_bundle_ref: CABundleRef | None = Field(
        None, description="CA certificates that guests trust besides those of their image."
    )


class Proxy(Model):
    """The proxy that guests pull images through."""

    http_proxy: OptionalURL = Field("", description="URL of the proxy for http.")
    https_proxy: OptionalURL = Field("", description="URL of the proxy for https.")
    no_proxy: Annotated[
        str,
        Field(
            max_length=4096,
            pattern=r"^[^[:space:];]*$",
            json_schema_extra=said("hosts, domains and networks, separated by commas, without spaces"),
        ),
    ] = Field("", description="Hosts, domains and networks that are reached without the proxy, separated by commas.")
