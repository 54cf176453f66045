"""The virtual node, as the spec of a VirtualContainerHost describes it.

Not the Node object: that is built of this by `provider.node`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from provider.api.fields import IPv4, LabelValue, Model, QualifiedName, as_map, rules

TAINT_KEY = "virtual-kubelet.io/provider"
ADDRESS_STAYS = "the address of a virtual node cannot be changed: make another VirtualContainerHost"


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Taint(Model):
    """A taint of the virtual node."""

    key: QualifiedName = Field(description="Key of the taint.")
    value: LabelValue = Field("", description="Value of the taint.")
    effect: TaintEffect = Field(description="What becomes of Pods that do not tolerate the taint.")


class NodeSpec(Model):
    """The virtual node."""

    address: IPv4 | None = Field(
        None,
        description=(
            "InternalIP of the node (IPv4): an address of the machine on which the operator runs, which serves the "
            "kubelet API there, port 10250. Default: the ClusterIP of a Service that is made for the node, as suits an "
            "operator that runs in the cluster. It cannot be changed."
        ),
        json_schema_extra=rules(("self == oldSelf", ADDRESS_STAYS)),
    )
    labels: Annotated[dict[QualifiedName, LabelValue], Field(max_length=64)] = Field(
        default_factory=dict, description="Labels of the node besides those that the operator sets."
    )
    annotations: Annotated[dict[QualifiedName, Annotated[str, Field(max_length=16384)]], Field(max_length=64)] = Field(
        default_factory=dict, description="Annotations of the node."
    )
    taints: Annotated[list[Taint], Field(max_length=32, json_schema_extra=as_map("key", "effect"))] | None = Field(
        None,
        description=(
            "Taints of the node. Default: virtual-kubelet.io/provider=<name of the VCH>:NoSchedule. "
            "An empty list means none."
        ),
    )
