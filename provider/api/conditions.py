"""Conditions as every kind has them (metav1.Condition), and the types that each kind knows.

Only shapes and names: which condition an error belongs to is said in `provider.vch_status` and its like.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from provider.api.fields import Model, as_map, said


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(StrEnum):
    """Of a VirtualContainerHost, in the order in which they come true; `Ready` is all before it.

    What comes after `Ready` is said for itself: Pods can be started without it.
    """

    CREDENTIALS_VALID = "CredentialsValid"
    VCENTER_AVAILABLE = "VCenterAvailable"
    PLACEMENT_RESOLVED = "PlacementResolved"
    IMAGE_READY = "ImageReady"
    PARENTS_READY = "ParentsReady"
    KUBELET_SERVING = "KubeletServing"
    NODE_REGISTERED = "NodeRegistered"
    READY = "Ready"
    POD_NETWORK_ISOLATED = "PodNetworkIsolated"
    CLUSTER_NETWORK_REACHABLE = "ClusterNetworkReachable"


class ImageConditionType(StrEnum):
    """Of a PodVMImage."""

    READY = "Ready"


class ParentConditionType(StrEnum):
    """Of a ParentVM, in the order in which they come true; `Ready` is all of them."""

    PROVISIONED = "Provisioned"
    PREPARED = "Prepared"
    FROZEN = "Frozen"
    READY = "Ready"


class Condition(Model):
    """metav1.Condition: `lastTransitionTime` moves only when `status` does."""

    type: Annotated[str, Field(min_length=1, max_length=316)] = Field(description="What the condition is about.")
    status: ConditionStatus = Field(description="True, False, or Unknown while it cannot be known.")
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1024,
            pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
            json_schema_extra=said("a reason is one word in CamelCase"),
        ),
    ] = Field(description="One word for programs.")
    message: Annotated[str, Field(max_length=32768)] = Field(description="A sentence for people.")
    last_transition_time: datetime = Field(description="When the status became what it is.")
    observed_generation: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The generation of the object that the condition is about."
    )


Conditions = Annotated[list[Condition], Field(max_length=32, json_schema_extra=as_map("type"))]
"""One of each type. `Ready` is all the others together."""
