"""Our kinds at a real API server: what is right is taken, what is wrong is refused in words that help.

Needs the control plane alone. Wrong values that only vSphere can tell end in conditions: `test_virtual_container_host`.
"""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.tests import wrong_values
from e2e.tests.kube import Kube, KubeObject
from e2e.tests.our_objects import FULL, MINIMAL
from provider.crd import definitions

NOW = "2026-01-01T00:00:00Z"
CONDITION = {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": NOW}


def refused(kube: Kube, *arguments: str, stdin: str | None = None) -> str:
    """What the API server says to it; nothing is stored."""
    done = kube.run(*arguments, "--dry-run=server", stdin=stdin, check=False)
    assert done.returncode != 0, f"the API server took it: {done.stdout.decode()}"
    return done.stderr.decode()


def spoilt(whole: KubeObject, path: str, value: object) -> KubeObject:
    """A copy with another value at a path; `[*]` is the first entry."""
    made = copy.deepcopy(whole)
    steps = re.findall(r"\[\*\]|[^.\[]+", path)
    place: Any = made
    for number, step in enumerate(steps):
        key = step if step != "[*]" else (0 if isinstance(place, list) else next(iter(place)))
        if number == len(steps) - 1:
            place[key] = value
        else:
            place = place[key]
    return made


def fields(schema: dict, path: str) -> Iterator[str]:
    """Every field that is not merely a part with fields of its own."""
    if "properties" not in schema:
        yield path
    for name, each in schema.get("properties", {}).items():
        yield from fields(each, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from fields(schema[key], f"{path}[*]")


@pytest.fixture(name="stored")
def _stored(api: Kube) -> Iterator[Kube]:
    """With an object of each kind in the API server."""
    for whole in MINIMAL.values():
        api.run("apply", "-f", "-", stdin=json.dumps(whole))
    yield api
    for kind in MINIMAL:
        api.run("delete", kind, "schema-test", "--ignore-not-found", "--timeout=60s")


@pytest.mark.parametrize("kind", MINIMAL)
def test_the_least_that_is_valid_is_taken(api: Kube, kind: str) -> None:
    api.run("create", "--dry-run=server", "-f", "-", stdin=json.dumps(MINIMAL[kind]))


@pytest.mark.parametrize("name", FULL)
def test_an_object_with_every_field_is_taken_and_the_models_read_it(api: Kube, name: str) -> None:
    answer = json.loads(api.text("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(FULL[name])))
    (kind,) = [each for each in definitions.KINDS if each.kind == answer["kind"]]
    kind.spec.model_validate(answer["spec"])
    assert answer["spec"] == FULL[name]["spec"], "nothing is pruned"


@pytest.mark.parametrize(("name", "path", "value", "words"), wrong_values.ROWS)
def test_a_wrong_value_is_refused_with_words_that_help(
    api: Kube, name: str, path: str, value: object, words: str
) -> None:
    said = refused(api, "create", "-f", "-", stdin=json.dumps(spoilt(FULL[name], path, value)))
    assert words in said


@pytest.mark.parametrize("kind", definitions.KINDS, ids=lambda kind: kind.kind)
def test_no_field_is_forgotten(kind: definitions.Kind) -> None:
    (version,) = definitions.definition(kind)["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    tried = {path for name, path, _, _ in wrong_values.ROWS if FULL[name]["kind"] == kind.kind}
    assert set(fields(spec, "spec")) - tried == set()


@pytest.mark.parametrize(
    ("kind", "path", "value", "words"),
    [
        ("VirtualContainerHost", "spec.vCenter.server", "other.example", "cannot be changed: make another one"),
        ("VirtualContainerHost", "spec.node.address", "192.0.2.11", "cannot be changed: make another"),
        ("VirtualContainerHost", "spec.node", {}, "cannot be changed: make another"),
        ("ParentVM", "spec.host", "host-2", "a ParentVM is not changed"),
    ],
)
def test_what_cannot_be_changed(stored: Kube, kind: str, path: str, value: str, words: str) -> None:
    changed = spoilt(MINIMAL[kind], path, value)
    assert words in refused(stored, "apply", "-f", "-", stdin=json.dumps(changed))
    stored.run("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(MINIMAL[kind]))


@pytest.mark.parametrize(
    ("kind", "status", "words"),
    [
        ("VirtualContainerHost", {"conditions": [CONDITION, CONDITION]}, "Duplicate value"),
        ("VirtualContainerHost", {"conditions": [{**CONDITION, "status": "Maybe"}]}, "supported values"),
        ("PodVMImage", {"conditions": [{**CONDITION, "reason": "two words"}]}, "one word in CamelCase"),
        ("PodVMImage", {"images": -1}, "greater than or equal to 0"),
        ("ParentVM", {"powerState": "on"}, "supported values"),
        ("ParentVM", {"createdTime": "yesterday"}, "createdTime"),
    ],
)
def test_a_wrong_status_is_refused(stored: Kube, kind: str, status: dict, words: str) -> None:
    patch = json.dumps({"status": status})
    said = refused(stored, "patch", kind, "schema-test", "--subresource=status", "--type=merge", f"--patch={patch}")
    assert words in said


def test_people_see_what_an_image_is_made_from(stored: Kube) -> None:
    assert "photon-5" in stored.text("get", "pvmi", "schema-test", "--no-headers")
    listed = stored.text("get", "vch-all", "--no-headers")
    assert {f"{kind.lower()}.vch.dev/schema-test" for kind in MINIMAL} <= set(listed.split())


def test_defaults_are_shown(stored: Kube) -> None:
    host = stored.get("vch", "schema-test")
    assert host is not None
    spec = host["spec"]
    assert (spec["limits"], spec["sharing"], spec["deletionPolicy"]) == ({"pods": 110}, "VCH", "Drain")
    assert spec["parents"] == {"prewarm": True, "maxConcurrent": 2, "maxAgeSeconds": 0}
