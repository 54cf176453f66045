"""PodVMImage: what parent VMs are made from: a source in vSphere, or a fork of another image.

Written by an admin; its status is what the agent of a prepared parent VM reported. Container images are something else.
"""

from typing import Annotated

from pydantic import ConfigDict, Field

from provider.api.conditions import Conditions
from provider.api.fields import (
    AS_SET,
    IN_ORDER,
    URL,
    ContainerImage,
    InventoryName,
    Model,
    Name,
    Text,
    as_map,
    rules,
    said,
)

KIND = "PodVMImage"
PLURAL = "podvmimages"

OBJECT_RULES = rules(
    (
        "!has(self.spec.fork) || self.spec.fork.from != self.metadata.name",
        "spec.fork.from is the image itself: name another PodVMImage",
    )
)
"""Of the whole object, since a rule of the spec does not see the name."""

KernelParameter = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^[A-Za-z0-9][-A-Za-z0-9_.]*(=[^[:space:][:cntrl:]]+)?$",
        json_schema_extra=said("a kernel parameter is name or name=value, without spaces"),
    ),
]
KernelModule = Annotated[
    str,
    Field(
        max_length=64,
        pattern=r"^[A-Za-z0-9][-A-Za-z0-9_]*$",
        json_schema_extra=said("the name of a kernel module has letters, digits, - and _ only"),
    ),
]
SysctlName = Annotated[
    str,
    Field(
        max_length=253,
        pattern=r"^[a-z0-9][-_A-Za-z0-9]*([./][A-Za-z0-9][-_A-Za-z0-9]*)+$",
        json_schema_extra=said("a sysctl is named as in net.core.somaxconn"),
    ),
]
SysctlValue = Annotated[
    str,
    Field(
        max_length=256,
        pattern=r"^[^[:space:][:cntrl:]]+( +[^[:space:][:cntrl:]]+)*$",
        json_schema_extra=said("the value of a sysctl is one line, and not empty"),
    ),
]


class ContentLibraryItem(Model):
    """An item of a content library."""

    library: InventoryName = Field(description="Name or ID of the content library.")
    item: InventoryName = Field(description="Name or ID of the item.")


class OVA(Model):
    """An OVA that the operator uploads."""

    url: URL = Field(description="Where the OVA is fetched from (http or https).")
    sha256: Annotated[
        str,
        Field(
            max_length=64,
            pattern=r"^[0-9a-f]{64}$",
            json_schema_extra=said("a SHA-256 digest has 64 hexadecimal digits in lower case"),
        ),
    ] = Field(description="SHA-256 digest of the OVA.")


class Source(Model):
    """What the image is in vSphere: exactly one of these."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[has(self.inventoryTemplate), has(self.contentLibraryItem), has(self.ova)].exists_one(each, each)",
                "name exactly one of inventoryTemplate, contentLibraryItem and ova",
            )
        )
    )

    inventory_template: InventoryName | None = Field(
        None, description="A VM or template in the inventory: name, inventory path or managed object ID."
    )
    content_library_item: ContentLibraryItem | None = Field(None, description="An item of a content library.")
    ova: OVA | None = Field(None, description="An OVA that the operator uploads.")


class File(Model):
    """A file of a fork."""

    path: Annotated[
        str,
        Field(
            max_length=255,
            pattern=r"^(/[-A-Za-z0-9._@+:,=]+)+$",
            json_schema_extra={
                **said("an absolute path, such as /etc/motd"),
                **rules(
                    ("!self.split('/').exists(part, part == '..' || part == '.')", "a path without . and .. in it")
                ),
            },
        ),
    ] = Field(description="Absolute path in the guest.")
    content: Annotated[str, Field(max_length=32768)] = Field(description="What the file contains (text).")
    mode: Annotated[
        str,
        Field(
            max_length=4,
            pattern=r"^0[0-7]{3}$",
            json_schema_extra=said('a mode has four octal digits, the first being 0, in quotes: "0644"'),
        ),
    ] = Field("0644", description="Mode of the file, four octal digits in quotes.")


class Fork(Model):
    """An image that is another one with changes; all that is not changed stays shared with it in memory."""

    base: Name = Field(alias="from", description="Name of the PodVMImage that is forked.")
    kernel_parameters: Annotated[list[KernelParameter], Field(max_length=64, json_schema_extra=IN_ORDER)] = Field(
        default_factory=list,
        description="Kernel parameters to add. They need a boot, after which no memory is shared with the base.",
    )
    sysctls: Annotated[dict[SysctlName, SysctlValue], Field(max_length=64)] = Field(
        default_factory=dict, description="Sysctls to set, by name."
    )
    kernel_modules: Annotated[list[KernelModule], Field(max_length=64, json_schema_extra=AS_SET)] = Field(
        default_factory=list, description="Kernel modules to load."
    )
    files: Annotated[list[File], Field(max_length=16, json_schema_extra=as_map("path"))] = Field(
        default_factory=list, description="Files to write."
    )


class PodVMImageSpec(Model):
    """What an admin describes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("has(self.source) != has(self.fork)", "give exactly one of source and fork"),
        )
    )

    source: Source | None = Field(None, description="What the image is in vSphere. Excludes fork.")
    fork: Fork | None = Field(None, description="Another image, and what is changed in it. Excludes source.")
    preload_images: Annotated[list[ContainerImage], Field(max_length=64, json_schema_extra=AS_SET)] = Field(
        default_factory=list, description="Container images that guests have from their start, without a pull."
    )


class PodVMImageStatus(Model):
    """What the operator observed."""

    observed_generation: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Generation of the spec that the status is about."
    )
    os_image: Text | None = Field(None, description="Operating system of the guests.")
    kernel_version: Text | None = Field(None, description="Kernel of the guests.")
    kubelet_version: Text | None = Field(None, description="Kubelet of the guests.")
    container_runtime_version: Text | None = Field(None, description="Container runtime of the guests.")
    agent_version: Text | None = Field(None, description="Agent of the guests.")
    images: Annotated[int, Field(ge=0)] | None = Field(None, description="Number of preloaded container images.")
    shares_memory: bool | None = Field(
        None, description="Whether the memory of a fork is still shared with its base image."
    )
    conditions: Conditions = Field(default_factory=list, description="Ready: parent VMs can be made of the image.")
