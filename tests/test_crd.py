"""`crds/` and the models say the same, and the CRDs are such as reviewers accept.

What the API server makes of them is `e2e/tests/test_crds.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from provider.api.image import PodVMImageSpec
from provider.api.parent import ParentVMSpec
from provider.api.vch import Sharing, VirtualContainerHostSpec
from provider.api.vm_class import PodVMClassSpec
from provider.crd import definitions
from provider.crd.definitions import KINDS, Kind
from tests.builders import make_spec

FOLDER = Path(__file__).parents[1] / "crds"
RULES = "x-kubernetes-validations"

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


def version(kind: Kind) -> dict:
    (found,) = definitions.definition(kind)["spec"]["versions"]
    return dict(found)


def part(kind: Kind, name: str) -> dict:
    found: dict = version(kind)["schema"]["openAPIV3Schema"]["properties"][name]
    return found


def walk(schema: dict, path: str) -> Iterator[tuple[str, dict]]:
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from walk(each, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from walk(schema[key], f"{path}[*]")


def fields() -> Iterator[Any]:
    """Every field of every kind."""
    for kind in KINDS:
        for name in ("spec", "status") if kind.status else ("spec",):
            for path, schema in walk(part(kind, name), name):
                yield pytest.param(path, schema, id=f"{kind.kind}.{path}")


def schema_of(kind: str, path: str) -> dict:
    (found,) = [each for each in KINDS if each.kind == kind]
    return dict(walk(part(found, "spec"), "spec"))[path]


@each_kind
def test_the_file_is_what_the_models_say(kind: Kind) -> None:
    assert (FOLDER / kind.file_name).read_text() == definitions.text(kind), "run: python -m provider.crd crds"


def test_there_is_no_other_file() -> None:
    assert {file.name for file in FOLDER.iterdir()} == {kind.file_name for kind in KINDS}


@each_kind
def test_every_field_of_the_model_is_in_the_schema(kind: Kind) -> None:
    assert set(part(kind, "spec")["properties"]) == {
        field.alias or name for name, field in kind.spec.model_fields.items()
    }


@pytest.mark.parametrize(("path", "schema"), [*fields()])
def test_every_field_is_structural_described_and_bounded(path: str, schema: dict) -> None:
    assert not {"$ref", "anyOf", "allOf", "oneOf", "title", "x-message"} & schema.keys()
    if not schema.get("x-kubernetes-int-or-string"):
        assert schema["type"] in ("object", "string", "integer", "array", "boolean")
    if not path.endswith("[*]"):
        assert schema.get("description", "").endswith("."), f"{path}: a sentence for kubectl explain"
    if schema.get("type") == "string":
        assert {"maxLength", "enum", "format"} & schema.keys(), f"{path} has no bound (CEL needs one)"
    if schema.get("type") == "integer":
        assert "minimum" in schema, path
    if schema.get("type") == "array":
        assert {"maxItems", "x-kubernetes-list-type"} <= schema.keys(), path
    if "additionalProperties" in schema:
        assert "maxProperties" in schema, path


@pytest.mark.parametrize(("path", "schema"), [*fields()])
def test_rules_have_messages_for_people(path: str, schema: dict) -> None:
    assert "pattern" not in schema, f"{path}: people would be shown an expression"
    if schema.get("x-kubernetes-int-or-string"):
        assert schema[RULES]
    for rule in schema.get(RULES, ()):
        assert len(rule["message"]) > 10, path


@each_kind
def test_people_see_age_and_whether_it_is_ready(kind: Kind) -> None:
    names = [column["name"] for column in version(kind)["additionalPrinterColumns"]]
    assert names[-1] == "Age"
    assert ("Ready" in names) == ("status" in version(kind).get("subresources", {}))


def test_short_names_and_category() -> None:
    names = {kind.kind: definitions.definition(kind)["spec"]["names"] for kind in KINDS}
    assert {kind: each["shortNames"] for kind, each in names.items()} == {
        "VirtualContainerHost": ["vch"],
        "PodVMClass": ["pvmc"],
        "PodVMImage": ["pvmi"],
        "ParentVM": ["pvm"],
    }
    assert all(each["categories"] == ["vch-all"] for each in names.values())


@each_kind
def test_conditions_are_told_apart_by_type(kind: Kind) -> None:
    if kind.status is None:
        return
    conditions = part(kind, "status")["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert set(conditions["items"]["required"]) == {"type", "status", "reason", "message", "lastTransitionTime"}


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        ("VirtualContainerHost", "spec.vCenter", "exclude each other"),
        ("VirtualContainerHost", "spec.vCenter.server", "without https:// and path"),
        ("VirtualContainerHost", "spec.vCenter.server", "cannot be changed"),
        ("VirtualContainerHost", "spec.network.ranges[*]", "first-last"),
        ("VirtualContainerHost", "spec.network.clusterDNS.domain", "such as cluster.local"),
        ("VirtualContainerHost", "spec.podNetwork", "the gateway is in one of the ranges"),
        ("VirtualContainerHost", "spec.podNetwork", "needs isolation Pod"),
        ("VirtualContainerHost", "spec.podNetwork", "isolation Namespace needs namespaces"),
        ("VirtualContainerHost", "spec.podNetwork", "each of namespaces has its own"),
        ("VirtualContainerHost", "spec.podNetwork.namespaces[*].ranges[*]", "first-last"),
        ("VirtualContainerHost", "spec.podNetwork.ranges[*]", "first-last"),
        ("VirtualContainerHost", "spec.podNetwork", "Pods need addresses"),
        ("VirtualContainerHost", "spec.podNetwork", "belong together"),
        ("VirtualContainerHost", "spec.podNetwork.ipv6.ranges[*]", "a single IPv6 address"),
        ("VirtualContainerHost", "spec.node.address", "cannot be changed"),
        ("VirtualContainerHost", "spec", "the address of a virtual node cannot be changed"),
        ("VirtualContainerHost", "spec.node.labels", "a key is"),
        ("VirtualContainerHost", "spec.template.images", "twice"),
        ("VirtualContainerHost", "spec.registries.mirrors[*].endpoints[*]", "http:// or https://"),
        ("PodVMClass", "spec", "nothing would be left for the Pod"),
        ("PodVMClass", "spec.memory", "more than 0"),
        ("PodVMClass", "spec.memory", "a quantity is a number"),
        ("PodVMClass", "spec.overhead.cpu", "a quantity is a number"),
        ("VirtualContainerHost", "spec.limits.cpu", "more than 0"),
        ("VirtualContainerHost", "spec.limits.cpu", "a quantity is a number"),
        ("PodVMImage", "spec", "exactly one of source and fork"),
        ("PodVMImage", "spec.source", "exactly one of inventoryTemplate"),
        ("PodVMImage", "spec.fork.sysctls", "net.core.somaxconn"),
        ("ParentVM", "spec", "is not changed"),
    ],
)
def test_what_a_type_cannot_say_is_a_rule(kind: str, path: str, words: str) -> None:
    assert any(words in rule["message"] for rule in schema_of(kind, path)[RULES])


def test_a_field_without_a_default_is_required_and_a_part_is_made_if_it_has_defaults() -> None:
    (vch, *_) = KINDS
    spec = part(vch, "spec")
    required = {f"{path}.{name}" for path, each in walk(spec, "spec") for name in each.get("required", ())}
    assert {"spec.vCenter.server", "spec.network.ranges", "spec.template.images"} <= required
    assert (
        not {"spec.limits", "spec.network.gateway", "spec.vCenter.thumbprint", "spec.node", "spec.node.address"}
        & required
    )
    assert (spec["properties"]["limits"]["default"], spec["properties"]["parents"]["default"]) == ({}, {})
    assert "default" not in spec["properties"]["proxy"]
    assert "default" not in spec["properties"]["podNetwork"], "absent is not empty"


def test_the_smallest_objects_are_read_with_their_defaults() -> None:
    vch = make_spec(limits={})
    assert (vch.limits.pods, vch.sharing, vch.parents.prewarm, vch.placement.datacenter) == (110, Sharing.VCH, True, "")
    assert (vch.node.taints, vch.network.nameservers, vch.v_center.thumbprint) == (None, [], None)
    small = PodVMClassSpec.model_validate({"cpus": 1, "memory": "512Mi"})
    assert (small.overhead.cpu, small.overhead.memory, small.image, small.standby) == ("0", "192Mi", "", 0)
    fork = PodVMImageSpec.model_validate({"fork": {"from": "photon", "files": [{"path": "/etc/x", "content": ""}]}})
    assert fork.fork is not None
    assert (fork.source, fork.fork.base, fork.fork.files[0].mode) == (None, "photon", "0644")
    parent = ParentVMSpec.model_validate({"vch": "v", "host": "host-1", "class": "small", "image": "photon"})
    assert (parent.vm_class, parent.namespace) == ("small", "")


def test_a_quantity_may_be_written_as_a_number() -> None:
    assert make_spec(limits={"cpu": 4, "memory": 2**30}).limits.cpu == "4"


@pytest.mark.parametrize(
    ("where", "field", "value"),
    [
        ("network", "prefixLength", 32),
        ("network", "ranges", []),
        ("network", "nameservers", ["1.1.1.1"] * 4),
        ("limits", "cpu", "many"),
        ("limits", "pods", 0),
        ("vCenter", "server", ""),
        ("vCenter", "thumbprint", "AB:CD"),
        ("vCenter", "caBundleRef", {"kind": "Pod", "name": "x"}),
        ("node", "taints", [{"key": "a", "effect": "Sometimes"}]),
        ("node", "labels", {"a key": "x"}),
        ("placement", "folder", ""),
        ("placement", "folder", "a\nb"),
        ("template", "classes", ["Small"]),
        ("proxy", "httpProxy", "proxy:3128"),
    ],
)
def test_what_the_schema_refuses_the_models_refuse_too(where: str, field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        make_spec(**{where: {field: value}})


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        (PodVMClassSpec, {"cpus": 0, "memory": "1Gi"}),
        (PodVMClassSpec, {"cpus": 1, "memory": "-1Gi"}),
        (PodVMImageSpec, {"fork": {"from": "x", "sysctls": {"Not a sysctl": "1"}}}),
        (PodVMImageSpec, {"fork": {"from": "x", "files": [{"path": "etc", "content": ""}]}}),
        (VirtualContainerHostSpec, {}),
    ],
)
def test_the_other_kinds_refuse_too(model: type[BaseModel], spec: dict) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(spec)


def test_a_field_of_a_later_version_is_not_minded() -> None:
    assert make_spec(node={"colour": "blue"}).node.address == "192.0.2.10"
