"""VirtualContainerHost: a slice of vSphere that appears as a virtual node. Written by an admin; its status is ours.

Its larger parts have modules of their own: `vcenter`, `supplies`, `node`. Rules are enforced by the API server, so code
that reads a model assumes them.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from provider.api.conditions import Conditions
from provider.api.fields import AS_SET, IN_ORDER, Model, Name, PositiveQuantity, Quantity, Text, rules
from provider.api.node import ADDRESS_STAYS, NodeSpec
from provider.api.pod_network import PodNetwork
from provider.api.supplies import Network, Proxy, Registries
from provider.api.vcenter import PlacementSpec, VCenter

KIND = "VirtualContainerHost"
PLURAL = "virtualcontainerhosts"

Count = Annotated[int, Field(ge=0)]


class Template(Model):
    """What pod VMs are made of."""

    images: Annotated[list[Name], Field(min_length=1, max_length=16, json_schema_extra=IN_ORDER)] = Field(
        description="Names of the PodVMImages that Pods may run on. The first is the default."
    )
    classes: Annotated[list[Name], Field(min_length=1, max_length=16, json_schema_extra=AS_SET)] = Field(
        description="Names of the PodVMClasses. A Pod gets the smallest that holds it."
    )


class Parents(Model):
    """How parent VMs are kept."""

    prewarm: bool = Field(
        True, description="Whether parent VMs are made ahead of need; otherwise they are made for the first Pod."
    )
    max_concurrent: Annotated[int, Field(ge=1, le=64)] = Field(
        2, description="How many parent VMs are made at the same time."
    )
    max_age_seconds: Annotated[int, Field(ge=0, le=315360000)] = Field(
        0, description="Age at which a parent VM is replaced by a new one. 0 means never."
    )


class Sharing(StrEnum):
    VCH = "VCH"
    NAMESPACE = "Namespace"


class DeletionPolicy(StrEnum):
    DRAIN = "Drain"
    ORPHAN = "Orphan"
    REFUSE = "Refuse"


class Limits(Model):
    """The most that the virtual node offers."""

    cpu: PositiveQuantity | None = Field(
        None, description="CPU, for example 64. Default: what the resource pool allows."
    )
    memory: PositiveQuantity | None = Field(
        None, description="Memory, for example 256Gi. Default: what the resource pool allows."
    )
    pods: Annotated[int, Field(ge=1, le=10000)] = Field(110, description="Number of Pods.")


def _has_address(spec: str) -> str:
    return f"(has({spec}.node) && has({spec}.node.address))"


class VirtualContainerHostSpec(Model):
    """What an admin describes."""

    model_config = ConfigDict(
        # Neither given nor taken away: a rule of the field itself is asked only where both have it.
        json_schema_extra=rules((_has_address("self") + " == " + _has_address("oldSelf"), ADDRESS_STAYS))
    )

    v_center: VCenter = Field(alias="vCenter", description="The vCenter that the VCH is a slice of.")
    placement: PlacementSpec = Field(
        description="Where pod VMs are made. Each field takes a name, an inventory path or a managed object ID."
    )
    network: Network = Field(description="The management network of the pod VMs, and the addresses for them.")
    pod_network: PodNetwork | None = Field(
        None,
        description=(
            "The network of the Pods themselves. Default: that of the pod VMs, with addresses of its ranges and "
            "without isolation."
        ),
    )
    template: Template = Field(description="What pod VMs are made of: images and classes.")
    parents: Parents = Field(default_factory=Parents, description="How parent VMs are kept.")
    sharing: Sharing = Field(
        Sharing.VCH,
        description=(
            "Whose Pods may share the memory of one parent VM: all Pods of the VCH, or those of one namespace. "
            "Shared memory is a side channel."
        ),
    )
    limits: Limits = Field(default_factory=Limits, description="The most that the virtual node offers.")
    registries: Registries = Field(default_factory=Registries, description="How guests reach image registries.")
    proxy: Proxy = Field(default_factory=Proxy, description="The proxy that guests pull images through.")
    node: NodeSpec = Field(default_factory=NodeSpec, description="The virtual node.")
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy.DRAIN,
        description=(
            "What deleting the VCH does while it has pod VMs: Drain ends their Pods first, Orphan leaves the VMs "
            "behind, Refuse waits until there are none."
        ),
    )


class VCenterStatus(Model):
    """The vCenter that answered."""

    version: Text = Field("", description="Its version.")
    instance_uuid: Text = Field("", alias="instanceUUID", description="Its instance UUID.")


class Resolved(Model):
    """What the names of the placement resolved to, as managed object IDs."""

    datacenter: Text = Field("", description="The datacenter.")
    compute_cluster: Text = Field("", description="The cluster.")
    resource_pool: Text = Field("", description="The resource pool.")
    folder: Text = Field("", description="The folder.")
    datastore: Text = Field("", description="The datastore.")
    hosts: Annotated[list[Text], Field(max_length=128, json_schema_extra=AS_SET)] = Field(
        default_factory=list, description="The ESXi hosts that are used."
    )


class Resources(Model):
    """What the virtual node offers."""

    cpu: Quantity | None = Field(None, description="CPU.")
    memory: Quantity | None = Field(None, description="Memory.")
    pods: Count | None = Field(None, description="Number of Pods.")


class ParentCounts(Model):
    """Parent VMs."""

    desired: Count | None = Field(None, description="How many are wanted.")
    ready: Count | None = Field(None, description="How many are frozen and can be cloned.")


class StandbyCounts(Model):
    """Clones that wait for a Pod."""

    ready: Count | None = Field(None, description="How many wait.")
    hits: Count | None = Field(None, description="How many Pods got one.")
    misses: Count | None = Field(None, description="How many Pods wanted one when there was none.")


class VirtualContainerHostStatus(Model):
    """What the operator observed."""

    observed_generation: Count | None = Field(None, description="Generation of the spec that the status is about.")
    node: Text | None = Field(None, description="Name of the virtual node.")
    v_center: VCenterStatus | None = Field(None, alias="vCenter", description="The vCenter that answered.")
    resolved: Resolved | None = Field(None, description="What the placement resolved to, as managed object IDs.")
    capacity: Resources | None = Field(None, description="Capacity of the virtual node.")
    allocatable: Resources | None = Field(None, description="What of the capacity Pods can have.")
    pods: Count | None = Field(None, description="Number of Pods that have a VM.")
    parents: ParentCounts | None = Field(None, description="Parent VMs.")
    standby: StandbyCounts | None = Field(None, description="Clones that wait for a Pod.")
    first_ready_time: datetime | None = Field(
        None, description="When a parent VM was first seen frozen: since then there may be pod VMs."
    )
    conditions: Conditions = Field(
        default_factory=list, description="Ready is all the others together, but for PodNetworkIsolated."
    )
