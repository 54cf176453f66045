"""`crds/` and the models say the same, and the CRD is one that reviewers accept."""

from pathlib import Path

import pytest

from provider import crd
from provider.vch import VirtualContainerHostSpec

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
