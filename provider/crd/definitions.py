"""The four kinds as CustomResourceDefinitions: names, printer columns, and the schema around spec and status.

What stands in spec and status comes from the models (`structural`); here is only what no model knows.
"""

from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel

from provider.api import image, parent, vch, vm_class
from provider.api.fields import GROUP, VERSION, Extra
from provider.crd.structural import Schema, structural


@dataclass(frozen=True, slots=True)
class Column:
    """What `kubectl get` prints; `wide` ones only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind."""

    kind: str
    plural: str
    short_name: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel] | None
    columns: tuple[Column, ...]
    name_length: int = 63  # a label value
    rules: Extra | None = None

    @property
    def file_name(self) -> str:
        return f"{self.plural}.{GROUP}.yaml"


def _ready(field: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{field}'


_AGE = Column("Age", ".metadata.creationTimestamp", "date")

_SOURCE = ".spec['source.inventoryTemplate','source.contentLibraryItem.item','source.ova.url','fork.from']"
"""Whichever of them there is."""

KINDS = (
    Kind(
        vch.KIND,
        vch.PLURAL,
        "vch",
        "A slice of vSphere that appears as a virtual node; each of its Pods is an instant-cloned VM.",
        vch.VirtualContainerHostSpec,
        vch.VirtualContainerHostStatus,
        (
            Column("Server", ".spec.vCenter.server"),
            Column("Node", ".status.node"),
            Column("Parents", ".status.parents.ready", "integer"),
            Column("Pods", ".status.pods", "integer"),
            Column("Ready", _ready("status")),
            Column("Reason", _ready("reason")),
            Column("Cluster", ".status.resolved.computeCluster", wide=True),
            Column("Datastore", ".status.resolved.datastore", wide=True),
            Column("Image", ".spec.template.images[0]", wide=True),
            Column("vCenter", ".status.vCenter.version", wide=True),
            Column("Message", _ready("message"), wide=True),
            _AGE,
        ),
    ),
    Kind(
        vm_class.KIND,
        vm_class.PLURAL,
        "pvmc",
        "A size that pod VMs come in. A Pod gets the smallest that holds it.",
        vm_class.PodVMClassSpec,
        None,
        (
            Column("CPUs", ".spec.cpus", "integer"),
            Column("Memory", ".spec.memory"),
            Column("Image", ".spec.image"),
            Column("Standby", ".spec.standby", "integer"),
            Column("Description", ".spec.description", wide=True),
            _AGE,
        ),
    ),
    Kind(
        image.KIND,
        image.PLURAL,
        "pvmi",
        "What parent VMs are made from: a source in vSphere, or a fork of another image.",
        image.PodVMImageSpec,
        image.PodVMImageStatus,
        (
            Column("Source", _SOURCE),
            Column("OS", ".status.osImage"),
            Column("Kernel", ".status.kernelVersion"),
            Column("Kubelet", ".status.kubeletVersion"),
            Column("Ready", _ready("status")),
            Column("Runtime", ".status.containerRuntimeVersion", wide=True),
            Column("Message", _ready("message"), wide=True),
            _AGE,
        ),
        rules=image.OBJECT_RULES,
    ),
    Kind(
        parent.KIND,
        parent.PLURAL,
        "pvm",
        "A parent VM that pod VMs are instant clones of, frozen or on its way there. Written by the operator.",
        parent.ParentVMSpec,
        parent.ParentVMStatus,
        (
            Column("VCH", ".spec.vch"),
            Column("Host", ".status.hostName"),
            Column("Image", ".spec.image"),
            Column("Class", ".spec.class"),
            Column("Clones", ".status.clones", "integer"),
            Column("Ready", _ready("status")),
            Column("Namespace", ".spec.namespace", wide=True),
            Column("VM", ".status.vmName", wide=True),
            Column("Reason", _ready("reason"), wide=True),
            Column("Message", _ready("message"), wide=True),
            _AGE,
        ),
        name_length=253,
    ),
)


def definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of a kind."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short_name],
                "categories": ["vch-all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _schema(kind)},
                    **({"subresources": {"status": {}}} if kind.status else {}),
                    "additionalPrinterColumns": [_column(each) for each in kind.columns],
                }
            ],
        },
    }


def _schema(kind: Kind) -> Schema:
    name = {"type": "string", "maxLength": kind.name_length}
    properties: dict[str, Any] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object", "properties": {"name": name}},
        "spec": structural(kind.spec),
    }
    if kind.status:
        properties["status"] = structural(kind.status)
    return {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": properties,
        **(kind.rules or {}),
    }


def _column(column: Column) -> Schema:
    priority = {"priority": 1} if column.wide else {}
    return {"name": column.name, "type": column.type, "jsonPath": column.path, **priority}


class _Dumper(yaml.SafeDumper):
    """Writes equal parts out each time: an anchor would be a riddle."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text(kind: Kind) -> str:
    """The file's content."""
    made = yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return f"# Made by `python -m provider.crd crds` from provider/api: change that.\n{made}"
