"""ParentVM: one parent VM, frozen or on its way there. Written by the operator alone, owned by its VCH.

What is wanted stands in the spec and never changes: another wish is another ParentVM.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from provider.api.conditions import Conditions
from provider.api.fields import InventoryName, Model, Name, OptionalName, Text, unchangeable

KIND = "ParentVM"
PLURAL = "parentvms"


class ParentPowerState(StrEnum):
    ON = "poweredOn"
    OFF = "poweredOff"
    SUSPENDED = "suspended"


class ParentVMSpec(Model):
    """What the operator wants."""

    model_config = ConfigDict(
        json_schema_extra=unchangeable("a ParentVM is not changed: delete it, and the operator makes another one")
    )

    vch: Name = Field(description="Name of the VirtualContainerHost.")
    host: InventoryName = Field(description="ESXi host, as managed object ID. Clones run where their parent does.")
    vm_class: Name = Field(alias="class", description="Name of the PodVMClass.")
    image: Name = Field(description="Name of the PodVMImage.")
    namespace: OptionalName = Field(
        "", description="Namespace whose Pods share the memory of this parent. Empty: all Pods of the VCH do."
    )


class ParentVMStatus(Model):
    """What the operator observed."""

    observed_generation: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Generation of the spec that the status is about."
    )
    moref: Text | None = Field(None, description="Managed object ID of the VM.")
    vm_name: Text | None = Field(None, description="Name of the VM.")
    host_name: Text | None = Field(None, description="Name of the ESXi host.")
    power_state: ParentPowerState | None = Field(None, description="Power state of the VM.")
    frozen: bool | None = Field(None, description="Whether the VM is frozen, so that it can be cloned.")
    clones: Annotated[int, Field(ge=0)] | None = Field(None, description="Number of pod VMs that were cloned from it.")
    created_time: datetime | None = Field(None, description="When the VM was made.")
    conditions: Conditions = Field(default_factory=list, description="Ready is all the others together.")
