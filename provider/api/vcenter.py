"""The vCenter of a VirtualContainerHost, and the place in its inventory where pod VMs are made.

Names as the admin writes them: what they resolve to is in the VCH's status, and whether they exist is a condition.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from provider.api.fields import (
    AS_SET,
    CABundleRef,
    HostPort,
    InventoryName,
    Model,
    OptionalInventoryName,
    SecretRef,
    rules,
    said,
    unchangeable,
)

Thumbprint = Annotated[
    str,
    Field(
        max_length=95,
        pattern=r"^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$",
        json_schema_extra=said("a SHA-256 thumbprint has 32 pairs of hexadecimal digits with colons between them"),
    ),
]


class VCenter(Model):
    """The vCenter that the VCH is a slice of."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!(has(self.thumbprint) && has(self.caBundleRef))",
                "thumbprint and caBundleRef exclude each other: remove one",
            )
        )
    )

    server: HostPort = Field(
        description="Host name or address of vCenter, with an optional port (host[:port]). It cannot be changed.",
        json_schema_extra=unchangeable("the vCenter of a VirtualContainerHost cannot be changed: make another one"),
    )
    credentials_secret_ref: SecretRef = Field(
        description="Secret of type kubernetes.io/basic-auth with the keys username and password."
    )
    thumbprint: Thumbprint | None = Field(
        None,
        description="SHA-256 thumbprint of vCenter's certificate, colon separated. Excludes caBundleRef.",
    )
    ca_bundle_ref: CABundleRef | None = Field(
        None,
        description="CA certificates to verify vCenter with. Excludes thumbprint. With neither, the system's are used.",
    )


class PlacementSpec(Model):
    """Where pod VMs are made. Each field takes a name, an inventory path or a managed object ID."""

    datacenter: OptionalInventoryName = Field(
        "", description="Datacenter in which names are looked for. Without it, names are looked for in all of them."
    )
    compute_cluster: OptionalInventoryName = Field(
        "", description="Cluster whose hosts hold parent VMs and pod VMs. Default: the owner of the resource pool."
    )
    hosts: Annotated[list[InventoryName], Field(max_length=128, json_schema_extra=AS_SET)] = Field(
        default_factory=list, description="ESXi hosts to use, if not all hosts of the cluster are to be used."
    )
    resource_pool: InventoryName = Field(description="Resource pool in which the pod VMs run.")
    folder: InventoryName = Field(description="VM folder that receives the pod VMs and their parents.")
    datastore: OptionalInventoryName = Field(
        "", description="Datastore of the parent VMs and of what pod VMs write. Default: the datastore of the template."
    )
