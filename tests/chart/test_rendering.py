"""The chart's objects are valid in every supported version, under whatever values, and none is like another."""

import shutil
from itertools import product
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from provider.api.fields import GROUP
from tests.chart import chart

VERSIONS = ("1.34", "1.35", "1.36", "1.37")
MONITORING = tuple(f"monitoring.coreos.com/v1/{kind}" for kind in ("ServiceMonitor", "PodMonitor", "PrometheusRule"))
FOREIGN = ("monitoring.coreos.com/v1",)  # no schema of these is Kubernetes'
VALUES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "one replica, nothing optional": {
        "replicaCount": 1,
        "metrics": {"enabled": False},
        "runtimeClass": {"create": False},
        "flowSchema": {"create": False},
        "preDelete": {"enabled": False},
        "tests": {"enabled": False},
        "crds": {"install": False},
        "kubelet": {"clientCA": {"configMap": ""}},
        "rbac": {"aggregateToView": False, "aggregateToAdmin": False},
    },
    "everything": {
        "commonLabels": {"team": "platform"},
        "imagePullSecrets": [{"name": "pull"}],
        "image": {"digest": "sha256:" + "0" * 64},
        "virtualContainerHosts": ["production"],
        "rbac": {"secretNames": ["vcenter-credentials"], "aggregateToEdit": True},
        "kubelet": {"servingCertificate": {"source": "existingSecret", "existingSecret": "kubelet-serving"}},
        "metrics": {"serviceMonitor": {"interval": "30s", "additionalLabels": {"release": "kps"}}},
        "dashboards": {"enabled": True, "folder": "VCH"},
        "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}], "egress": [{}]},
        "preDelete": {"policy": "drain"},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["infra"]}]},
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]},
        ]}}},
        "tolerations": [{"operator": "Exists"}],
        "extraArgs": ["--vchs=a"],
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"a": "b"},
        "crds": {"annotations": {"a": "b"}},
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}},
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}\n",
        ],
    },
    "legacy impersonation": {"rbac": {"impersonation": "legacy"}, "virtualContainerHosts": ["a", "b"]},
    "another's account": {"serviceAccount": {"create": False, "name": "mine"}, "rbac": {"create": False}},
}  # fmt: skip


@pytest.mark.parametrize(("version", "values"), [*product(VERSIONS, VALUES)])
def test_every_object_is_what_that_version_of_kubernetes_takes(version: str, values: str) -> None:
    objects = chart.render(VALUES[values], kubernetes=f"{version}.0", apis=MONITORING).objects
    for each in objects:
        if each["apiVersion"] not in FOREIGN:
            kubernetes_validate.validate(each, version, strict=each["kind"] != "CustomResourceDefinition")
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("values", VALUES)
def test_helm_3_and_helm_4_make_the_same_of_it(values: str) -> None:
    assert chart.render(VALUES[values], major=3).objects == chart.render(VALUES[values], major=4).objects


@pytest.mark.parametrize(("major", "values"), [*product((3, 4), VALUES)])
def test_lint_finds_nothing(major: int, values: str) -> None:
    done = chart.run("lint", "--strict", "--kube-version=1.37.0", str(chart.CHART), major=major, values=VALUES[values])
    assert done.returncode == 0, done.stdout


def test_the_kinds_are_those_of_the_repository() -> None:
    ours = {each["metadata"]["name"]: each for each in chart.render().of("CustomResourceDefinition")}
    generated = [yaml.safe_load(file.read_text()) for file in (chart.CHART.parents[1] / "crds").glob("*.yaml")]
    assert {each["metadata"]["name"]: each["spec"] for each in generated} == {
        name: each["spec"] for name, each in ours.items()
    }
    for each in ours.values():
        assert each["spec"]["group"] == GROUP
        assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_kinds_go_with_the_release_only_if_that_is_asked_for() -> None:
    rendered = chart.render({"crds": {"keep": False}})
    assert not any(each["metadata"].get("annotations") for each in rendered.of("CustomResourceDefinition"))


def test_a_package_has_the_kinds_in_it(tmp_path: Path) -> None:
    """The link in the chart is a folder with files in what is published."""
    done = chart.run("package", str(chart.CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("*.tgz")
    assert chart.render(chart=package).objects == chart.render().objects


def test_names_are_cut_where_kubernetes_would_refuse_them_and_stay_apart() -> None:
    rendered = chart.render({"fullnameOverride": "a" * 60 + "-b", "metrics": {"enabled": True}})
    for each in rendered.objects:
        limit = 63 if each["kind"] in ("Service", "Pod", "Job", "ServiceAccount", "Deployment") else 253
        assert len(each["metadata"]["name"]) <= limit
        assert all(len(value) <= 63 for value in each["metadata"]["labels"].values())
    assert rendered.one("Job")["metadata"]["name"].endswith("a-uninstall")


def test_a_release_named_as_the_chart_does_not_say_it_twice() -> None:
    rendered = chart.render(release="virtual-kubelet-vch")
    assert rendered.one("Deployment")["metadata"]["name"] == "virtual-kubelet-vch"


def test_without_rules_and_dashboards_there_is_neither(tmp_path: Path) -> None:
    bare = _copy(tmp_path)
    rendered = chart.render({"dashboards": {"enabled": True}}, chart=bare, apis=MONITORING)
    assert rendered.of("PrometheusRule") == []
    assert rendered.of("ConfigMap") == []


def test_rules_and_dashboards_are_taken_from_their_folders(tmp_path: Path) -> None:
    full = _copy(tmp_path)
    alert = {"expr": "up == 0", "for": "5m", "labels": {"severity": "warning"}, "annotations": {"summary": "{{ $x }}"}}
    rules = [{"alert": "A", **alert}, {"alert": "B", **alert}, {"record": "a:b", "expr": "1"}]
    (full / "files/rules/vch.yaml").write_text(yaml.safe_dump({"groups": [{"name": "vch", "rules": rules}]}))
    (full / "files/dashboards/vch-overview.json").write_text('{"uid": "vch-overview", "legend": "{{pod}}"}')
    rendered = chart.render(
        {
            "dashboards": {"enabled": True},
            "prometheusRule": {
                "disabled": {"B": True},
                "customRules": {"A": {"for": "1h", "severity": "critical"}},
                "runbookUrl": "https://example.com/runbooks/",
                "additionalRuleLabels": {"team": "x"},
            },
        },
        chart=full,
        apis=MONITORING,
    )
    (group,) = rendered.one("PrometheusRule")["spec"]["groups"]
    changed, recorded = group["rules"]
    assert changed["for"] == "1h"
    assert changed["labels"] == {"severity": "critical", "team": "x"}
    assert changed["annotations"] == {"summary": "{{ $x }}", "runbook_url": "https://example.com/runbooks/A"}
    assert recorded == {"record": "a:b", "expr": "1"}
    dashboard = rendered.one("ConfigMap")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["data"] == {"vch-overview.json": '{"uid": "vch-overview", "legend": "{{pod}}"}'}


def _copy(folder: Path) -> Path:
    """The chart as it is packaged, without rules and dashboards."""
    copy = folder / "chart"
    shutil.copytree(chart.CHART, copy)
    for place in ("rules/*.yaml", "dashboards/*.json"):
        for file in (copy / "files").glob(place):
            file.unlink()
    return copy
