"""PodVMClass: a size that pod VMs come in. Written by an admin, without status.

An instant clone cannot change its size, so sizes are discrete; which one a Pod gets is decided in placement, not here.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from provider.api.fields import AS_SET, MORE_THAN_ZERO, Model, Name, OptionalName, Quantity, rules

KIND = "PodVMClass"
PLURAL = "podvmclasses"


class Overhead(Model):
    """What kernel, container runtime, kubelet and agent need of a pod VM; the rest is the Pod's."""

    cpu: Quantity = Field("0", description="CPU.")
    memory: Quantity = Field("192Mi", description="Memory.")


class PodVMClassSpec(Model):
    """What an admin describes. A change makes the parent VMs of the class outdated: they are replaced."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!isQuantity(string(self.memory)) || !isQuantity(string(self.overhead.memory)) || "
                "quantity(string(self.memory)).isGreaterThan(quantity(string(self.overhead.memory)))",
                "memory must be more than overhead.memory: nothing would be left for the Pod",
            ),
            (
                "!isQuantity(string(self.overhead.cpu)) || "
                "quantity(string(self.overhead.cpu)).asApproximateFloat() < double(self.cpus)",
                "cpus must be more than overhead.cpu: nothing would be left for the Pod",
            ),
        )
    )

    cpus: Annotated[int, Field(ge=1, le=128)] = Field(description="Number of virtual CPUs.")
    memory: Quantity = Field(
        description="Memory of the VM, a multiple of 4Mi, for example 512Mi.",
        json_schema_extra=rules(
            MORE_THAN_ZERO,
            (
                "!isQuantity(string(self)) || "
                "(quantity(string(self)).isInteger() && quantity(string(self)).asInteger() % 4194304 == 0)",
                "vSphere gives memory in multiples of 4Mi",
            ),
        ),
    )
    overhead: Overhead = Field(
        default_factory=Overhead,
        description="What kernel, container runtime, kubelet and agent need of the VM; the rest is the Pod's.",
    )
    image: OptionalName = Field(
        "", description="Name of the PodVMImage of the class. Default: the default image of the VirtualContainerHost."
    )
    runtime_class_names: Annotated[list[Name], Field(max_length=16, json_schema_extra=AS_SET)] = Field(
        default_factory=list, description="RuntimeClasses whose Pods get this class."
    )
    standby: Annotated[int, Field(ge=0, le=100)] = Field(
        0, description="How many clones wait for a Pod, already started, for each VirtualContainerHost."
    )
    description: Annotated[str, Field(max_length=1024)] = Field("", description="What the class is meant for.")
