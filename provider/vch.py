"""The VirtualContainerHost as the API server stores it: the models that `crds/` is generated from.

One source for schema and parser: `python -m provider.crd` (neighbour) turns these models into the CRD, and a test holds
both together. Rules that span fields are CEL rules in `crd`; the API server enforces them, so code here assumes them.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

GROUP = "vch.dev"
VERSION = "v1alpha1"
PLURAL = "virtualcontainerhosts"
TAINT_KEY = "virtual-kubelet.io/provider"

KubeObject = dict[str, Any]

Name = Annotated[str, Field(min_length=1, max_length=253)]
InventoryName = Annotated[str, Field(min_length=1, max_length=1024)]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$", max_length=32)]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class SecretRef(_Model):
    """A Secret in the operator's namespace."""

    name: Name = Field(description="Name of the Secret.")


class CABundleRef(_Model):
    """Where the CA certificates of vCenter are kept (PEM)."""

    kind: Literal["ConfigMap", "Secret"] = Field("ConfigMap", description="Kind of the object.")
    name: Name = Field(description="Name of the object, in the operator's namespace.")
    key: Name = Field("ca.crt", description="Key that holds the PEM bundle.")


class VCenter(_Model):
    """The vCenter that the VCH is a slice of."""

    server: Annotated[str, Field(min_length=1, max_length=260)] = Field(
        description="Host name or address of vCenter, with an optional port (host[:port])."
    )
    credentials_secret_ref: SecretRef = Field(
        description="Secret of type kubernetes.io/basic-auth with the keys username and password."
    )
    thumbprint: Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$")] | None = Field(
        None, description="SHA-256 thumbprint of vCenter's certificate, colon separated. Instead of caBundleRef."
    )
    ca_bundle_ref: CABundleRef | None = Field(
        None, description="CA certificates to verify vCenter with. Instead of thumbprint; neither: the system's."
    )


class PlacementSpec(_Model):
    """Where pod VMs are made. Each field takes a name, an inventory path or a managed object ID."""

    folder: InventoryName = Field(description="VM folder that receives the pod VMs.")
    resource_pool: InventoryName = Field(description="Resource pool that the pod VMs run in.")
    parent: InventoryName = Field(description="Frozen parent VM that pod VMs are instant clones of.")


class Network(_Model):
    """Addresses for pod VMs, on the network of the parent's NIC."""

    ranges: Annotated[list[Annotated[str, Field(max_length=80)]], Field(min_length=1, max_length=64)] = Field(
        description="Address ranges, first-last (10.0.0.10-10.0.0.250) or a single address."
    )
    prefix_length: Annotated[int, Field(ge=8, le=31)] = Field(description="Prefix length of the network.")
    gateway: Annotated[str, Field(max_length=45)] | None = Field(None, description="Default gateway; none: no way out.")
    nameservers: Annotated[list[Annotated[str, Field(max_length=45)]], Field(max_length=3)] = Field(
        default_factory=list, description="Name servers for the guests."
    )


class Overhead(_Model):
    """What kernel, runtime, kubelet and agent need of a pod VM; the rest is the Pod's."""

    cpu: Quantity = Field("0", description="CPU.")
    memory: Quantity = Field("192Mi", description="Memory.")


class Capacity(_Model):
    """What the virtual node offers in all."""

    cpu: Quantity = Field(description="CPU, e.g. 64.")
    memory: Quantity = Field(description="Memory, e.g. 256Gi.")
    pods: Annotated[int, Field(ge=1, le=10000)] = Field(110, description="Number of Pods.")


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Taint(_Model):
    """A taint of the virtual node."""

    key: Name = Field(description="Key.")
    value: Annotated[str, Field(max_length=63)] = Field("", description="Value.")
    effect: TaintEffect = Field(description="Effect.")


class NodeSpec(_Model):
    """The virtual node."""

    address: Annotated[str, Field(min_length=2, max_length=45)] = Field(
        description="InternalIP of the node. The operator serves the kubelet API there, on port 10250."
    )
    labels: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=64)] = Field(
        default_factory=dict, description="Further labels."
    )
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=16384)]], Field(max_length=64)] = Field(
        default_factory=dict, description="Further annotations."
    )
    taints: Annotated[list[Taint], Field(max_length=32)] | None = Field(
        None, description="Taints; default virtual-kubelet.io/provider=<name>:NoSchedule. An empty list: none."
    )


class VirtualContainerHostSpec(_Model):
    """What an admin describes."""

    v_center: VCenter = Field(alias="vCenter", description="The vCenter that the VCH is a slice of.")
    placement: PlacementSpec = Field(description="Where pod VMs are made.")
    network: Network = Field(description="Addresses for pod VMs.")
    overhead: Overhead = Field(default_factory=Overhead, description="Share of each pod VM that is not the Pod's.")
    capacity: Capacity = Field(description="Capacity of the virtual node.")
    node: NodeSpec = Field(description="The virtual node.")


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(StrEnum):
    """In the order in which they come true; `Ready` is all of them."""

    CREDENTIALS_VALID = "CredentialsValid"
    VCENTER_AVAILABLE = "VCenterAvailable"
    PLACEMENT_RESOLVED = "PlacementResolved"
    PARENTS_READY = "ParentsReady"
    KUBELET_SERVING = "KubeletServing"
    NODE_REGISTERED = "NodeRegistered"
    READY = "Ready"


def reference(vch: KubeObject) -> KubeObject:
    """An owner reference to a VirtualContainerHost: what carries it goes with the VCH."""
    return {
        "apiVersion": vch["apiVersion"],
        "kind": vch["kind"],
        "name": vch["metadata"]["name"],
        "uid": vch["metadata"]["uid"],
    }
