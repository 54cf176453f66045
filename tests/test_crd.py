"""`crds/` and the models say the same, and the CRD is one that reviewers accept."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from provider import crd
from provider.vch import VirtualContainerHostSpec
from tests.builders import make_spec

FILE = Path(__file__).parents[1] / "crds" / "virtualcontainerhosts.vch.dev.yaml"


def version() -> dict:
    found: list[dict] = crd.definition()["spec"]["versions"]
    assert len(found) == 1
    return found[0]


def walk(schema: dict, path: str = "spec") -> list[tuple[str, dict]]:
    found = [(path, schema)]
    for name, each in schema.get("properties", {}).items():
        found += walk(each, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            found += walk(schema[key], f"{path}[*]")
    return found


def test_the_file_is_what_the_models_say() -> None:
    assert FILE.read_text() == crd.text(), "run: python -m provider.crd crds"


def test_every_field_of_the_model_is_in_the_schema() -> None:
    spec = version()["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert set(spec["properties"]) == {
        field.alias or name for name, field in VirtualContainerHostSpec.model_fields.items()
    }


@pytest.mark.parametrize(("path", "schema"), walk(version()["schema"]["openAPIV3Schema"]["properties"]["spec"]))
def test_every_field_is_structural_described_and_bounded(path: str, schema: dict) -> None:
    assert not {"$ref", "anyOf", "allOf", "oneOf", "title"} & schema.keys()
    assert schema["type"] in ("object", "string", "integer", "array", "boolean")
    if "[*]" not in path:
        assert schema.get("description"), path
    if schema["type"] == "string":
        assert {"maxLength", "enum", "pattern"} & schema.keys(), f"{path} has no bound (CEL needs one)"
    if schema["type"] == "array":
        assert "maxItems" in schema, path


def test_status_is_a_sub_resource_and_people_see_why_it_is_not_ready() -> None:
    assert version()["subresources"] == {"status": {}}
    names = [column["name"] for column in version()["additionalPrinterColumns"]]
    assert {"Ready", "Reason", "Age"} <= set(names)


def test_what_spans_fields_is_a_cel_rule_with_a_message_for_people() -> None:
    spec = version()["schema"]["openAPIV3Schema"]["properties"]["spec"]
    rules = {(path, rule["message"]) for path, each in walk(spec) for rule in each.get("x-kubernetes-validations", ())}
    assert rules == {
        ("spec.vCenter", "thumbprint and caBundleRef exclude each other: remove one"),
        ("spec.vCenter", "server is host[:port], without https:// and path"),
        ("spec.network", "each range is first-last or a single IPv4 address"),
        ("spec.node", "the address of a virtual node cannot be changed: make another VirtualContainerHost"),
    }


def test_a_field_without_a_default_is_required() -> None:
    spec = version()["schema"]["openAPIV3Schema"]["properties"]["spec"]
    required = {f"{path}.{name}" for path, each in walk(spec) for name in each.get("required", ())}
    assert {"spec.vCenter.server", "spec.network.ranges", "spec.node.address", "spec.capacity.cpu"} <= required
    assert not {"spec.overhead", "spec.network.gateway", "spec.vCenter.thumbprint", "spec.node.taints"} & required


def test_the_smallest_vch_is_read_with_its_defaults() -> None:
    spec = make_spec()
    assert (spec.overhead.cpu, spec.overhead.memory, spec.capacity.pods) == ("0", "192Mi", 110)
    assert (spec.node.taints, spec.network.nameservers, spec.v_center.thumbprint) == (None, [], None)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("network", "prefixLength", 32),
        ("network", "ranges", []),
        ("network", "nameservers", ["1.1.1.1"] * 4),
        ("capacity", "cpu", "many"),
        ("capacity", "pods", 0),
        ("vCenter", "server", ""),
        ("vCenter", "thumbprint", "AB:CD"),
        ("vCenter", "caBundleRef", {"kind": "Pod", "name": "x"}),
        ("node", "taints", [{"key": "a", "effect": "Sometimes"}]),
        ("placement", "parent", ""),
    ],
)
def test_what_the_schema_refuses_the_models_refuse_too(part: str, field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        make_spec(**{part: {field: value}})


def test_a_field_of_a_later_version_is_not_minded() -> None:
    assert make_spec(node={"colour": "blue"}).node.address == "192.0.2.10"
