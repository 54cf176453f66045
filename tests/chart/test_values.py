"""Values: all are documented, none but these are taken, and what is wrong is named."""

import json
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.chart import chart
from tests.chart.test_rendering import MONITORING

VALUES = (chart.CHART / "values.yaml").read_text()


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"replicas": 3}, "'replicas' not allowed"),
        ({"image": {"version": "1"}}, "/image"),
        ({"replicaCount": "two"}, "/replicaCount"),
        ({"rbac": {"impersonation": "always"}}, "/rbac/impersonation"),
        ({"kubelet": {"servingCertificate": {"source": "existingSecret"}}}, "/existingSecret"),
        ({"kubelet": {"servingCertificate": {"source": "selfSigned"}}}, "/kubelet/servingCertificate/source"),
        ({"metrics": {"port": 70000}}, "/metrics/port"),
        ({"metrics": {"serviceMonitor": {"intervall": "1m"}}}, "'intervall' not allowed"),
        ({"preDelete": {"policy": "force"}}, "/preDelete/policy"),
        ({"virtualContainerHosts": ["Production"]}, "/virtualContainerHosts/0"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
    ],
)
def test_what_is_wrong_is_refused_and_named(values: dict, where: str) -> None:
    assert where in chart.refusal(values)


def test_figures_are_not_asked_for_twice() -> None:
    both = {"metrics": {"podMonitor": {"enabled": True}}}
    assert "twice" in chart.refusal(both, apis=MONITORING)


def test_a_monitor_that_must_be_is_missed_where_its_kind_is_not() -> None:
    assert "no kind ServiceMonitor" in chart.refusal({"metrics": {"serviceMonitor": {"renderMode": "failIfMissing"}}})
    assert chart.render().of("ServiceMonitor") == []
    assert chart.render({"metrics": {"serviceMonitor": {"renderMode": "alwaysRender"}}}).of("ServiceMonitor")


def test_an_unsupported_kubernetes_is_refused() -> None:
    assert "kubeVersion" in chart.refusal({}, kubernetes="1.33.0")


def test_an_account_that_is_not_made_has_to_be_named() -> None:
    assert "serviceAccount.name" in chart.refusal({"serviceAccount": {"create": False}})


def test_every_value_has_its_description() -> None:
    lines = VALUES.splitlines()
    for number, line in enumerate(lines):
        if re.match(r" *\w+: ?\S", line):
            above = number - 1
            while lines[above].lstrip().startswith("# ") and not lines[above].lstrip().startswith("# --"):
                above -= 1
            assert lines[above].lstrip().startswith("# --"), f"values.yaml:{number + 1} has no description: {line}"


def test_the_schema_knows_the_values_that_there_are_and_no_others() -> None:
    schema = json.loads((chart.CHART / "values.schema.json").read_text())
    assert set(_closed(schema)) - {"global"} == set(_given(schema, yaml.safe_load(VALUES)))


def test_the_readme_has_all_values() -> None:
    readme = (chart.CHART / "README.md").read_text()
    schema = json.loads((chart.CHART / "values.schema.json").read_text())
    missing = [name for name in _given(schema, yaml.safe_load(VALUES)) if f"| `{name}` |" not in readme]
    assert missing == []


def test_the_notes_show_the_way_and_warn() -> None:
    usual = chart.notes()
    assert "create secret generic vcenter-credentials" in usual
    shown = usual.partition("kubectl apply -f:")[2].partition("3. Whether")[0]
    objects = [*yaml.safe_load_all(textwrap.dedent(shown))]
    assert [each["kind"] for each in objects] == ["PodVMClass", "PodVMImage", "VirtualContainerHost"]
    assert "no ServiceMonitor was made" in usual
    assert "replicaCount" not in usual
    careless = chart.notes(
        {"replicaCount": 1, "kubelet": {"clientCA": {"configMap": ""}}, "rbac": {"impersonation": "legacy"}}
    )
    for word in ("replicaCount=1", "kubelet.clientCA.configMap is empty", "act as any user"):
        assert word in careless


def _closed(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Leaves of the schema: what has no properties of its own."""
    for name, each in schema["properties"].items():
        if "properties" in each:
            assert each["additionalProperties"] is False
            yield from _closed(each, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _given(schema: dict[str, Any], values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, each in values.items():
        part = schema["properties"].get(name, {})
        if "properties" in part:
            yield from _given(part, each, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
