"""The CustomResourceDefinitions, made from the models: `python -m provider.crd FOLDER` writes `crds/`.

A structural schema (no references, no unions) is what the API server takes; rules that span fields are CEL. The
models in `vch` are the only source; a test holds `crds/` and the models together.
"""

import sys
from pathlib import Path
from typing import Any

import yaml

from provider.vch import GROUP, PLURAL, VERSION, VirtualContainerHostSpec

Schema = dict[str, Any]

KIND = "VirtualContainerHost"

_KEPT = (
    *("type", "description", "default", "enum", "pattern", "format", "required"),
    *("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "minProperties", "maxProperties"),
)

_RULES: dict[tuple[str, ...], list[Schema]] = {
    ("vCenter",): [
        {
            "rule": "!(has(self.thumbprint) && has(self.caBundleRef))",
            "message": "thumbprint and caBundleRef exclude each other: remove one",
        },
        {
            "rule": "!self.server.contains('/')",
            "message": "server is host[:port], without https:// and path",
            "fieldPath": ".server",
        },
    ],
    ("network",): [
        {
            "rule": "self.ranges.all(r, r.matches('^[0-9.]+( *- *[0-9.]+)?$'))",
            "message": "each range is first-last or a single IPv4 address",
            "fieldPath": ".ranges",
        }
    ],
    ("node",): [
        {
            "rule": "self.address == oldSelf.address",
            "message": "the address of a virtual node cannot be changed: make another VirtualContainerHost",
            "fieldPath": ".address",
        }
    ],
}
"""CEL rules by the path of the field below spec."""

_COLUMNS = (
    ("Server", "string", ".spec.vCenter.server", 0),
    ("Node", "string", ".status.node", 0),
    ("Parents", "integer", ".status.parents.ready", 0),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
    ("vCenter", "string", ".status.vCenter.version", 1),
    ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', 1),
    ("Age", "date", ".metadata.creationTimestamp", 0),
)


def definition() -> Schema:
    """The CRD of VirtualContainerHost."""
    spec = _structural(VirtualContainerHostSpec.model_json_schema(by_alias=True))
    schema = {
        "type": "object",
        "description": "A slice of vSphere that appears as a virtual node; each of its Pods is an instant-cloned VM.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            # The name is the Node's and a label value.
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 63}}},
            "spec": spec,
            "status": _status(),
        },
    }
    columns = [
        {"name": name, "type": kind, "jsonPath": path, **({"priority": priority} if priority else {})}
        for name, kind, path, priority in _COLUMNS
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["vch"],
                "categories": ["vch-all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                }
            ],
        },
    }


def _structural(schema: Schema, path: tuple[str, ...] = (), definitions: Schema | None = None) -> Schema:
    definitions = definitions or schema.get("$defs", {})
    schema = _resolved(schema, definitions)
    made = {key: schema[key] for key in _KEPT if key in schema}
    if "const" in schema:
        made["enum"] = [schema["const"]]
    if "default" in made and made["default"] in (None, {}, []):
        del made["default"]
    if "properties" in schema:
        made["properties"] = {
            name: _structural(each, (*path, name), definitions) for name, each in schema["properties"].items()
        }
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _structural(schema["additionalProperties"], (*path, "*"), definitions)
    if "items" in schema:
        made["items"] = _structural(schema["items"], (*path, "*"), definitions)
    if rules := _RULES.get(path):
        made["x-kubernetes-validations"] = rules
    return made


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """Without references, and without the `null` that an optional field may be: it is simply absent."""
    own = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf")}
    if "anyOf" in schema:
        (other,) = [each for each in schema["anyOf"] if each.get("type") != "null"]
        return {**_resolved(other, definitions), **own}
    if "$ref" in schema:
        return {**_resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions), **own}
    return schema


def _status() -> Schema:
    text = {"type": "string"}
    condition = {
        "type": "object",
        "description": "metav1.Condition",
        "required": ["type", "status", "reason", "message", "lastTransitionTime"],
        "properties": {
            "type": {"type": "string", "maxLength": 316},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
            "message": {"type": "string", "maxLength": 32768},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        },
    }
    return {
        "type": "object",
        "description": "What the operator observed.",
        "properties": {
            "observedGeneration": {"type": "integer", "format": "int64", "description": "Generation of the spec."},
            "node": {**text, "description": "Name of the virtual node."},
            "vCenter": {
                "type": "object",
                "description": "The vCenter that answered.",
                "properties": {"version": text, "instanceUUID": text},
            },
            "parents": {
                "type": "object",
                "description": "Parent VMs.",
                "properties": {"ready": {"type": "integer", "description": "How many are frozen."}},
            },
            "firstReadyTime": {
                "type": "string",
                "format": "date-time",
                "description": "When the first parent VM was seen frozen: since then there may be pod VMs.",
            },
            "conditions": {
                "type": "array",
                "description": "Ready is all the others together.",
                "items": condition,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        },
    }


def text() -> str:
    """The file's content."""
    made: str = yaml.safe_dump(definition(), sort_keys=False, width=120, allow_unicode=True)
    return f"# Made by `python -m provider.crd crds` from provider/vch.py: change that.\n{made}"


def main() -> None:
    (folder,) = sys.argv[1:]
    Path(folder, f"{PLURAL}.{GROUP}.yaml").write_text(text())


if __name__ == "__main__":
    main()
