"""What the operator's Pod is like: restricted, never on a virtual node, with settings that the operator knows."""

from typing import Any

import pytest

from provider import cli
from provider.settings import Settings
from tests.chart import chart
from tests.chart.test_rendering import VALUES


@pytest.mark.parametrize("values", VALUES)
def test_the_operator_never_lands_on_a_virtual_node(values: str) -> None:
    rendered = chart.render(VALUES[values])
    pods = [rendered.pod["spec"], *(each["spec"] for each in rendered.of("Pod"))]
    for pod in [*pods, *(each["spec"]["template"]["spec"] for each in rendered.of("Job"))]:
        required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        for term in required["nodeSelectorTerms"]:  # any one of them would do
            assert {"key": "type", "operator": "NotIn", "values": ["virtual-kubelet"]} in term["matchExpressions"]


@pytest.mark.parametrize("values", VALUES)
def test_every_pod_meets_the_restricted_pod_security_standard(values: str) -> None:
    rendered = chart.render(VALUES[values])
    pods = [rendered.pod["spec"], *(each["spec"] for each in rendered.of("Pod"))]
    for pod in [*pods, *(each["spec"]["template"]["spec"] for each in rendered.of("Job"))]:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any({"hostPath"} & each.keys() for each in pod.get("volumes", ()))
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("values", VALUES)
def test_the_operator_knows_every_variable_it_is_given(values: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = _ours(chart.render(VALUES[values]).variables)
    known = {f"VCH_{name.upper()}" for name in Settings.model_fields}
    assert set(given) <= known | {"VCH_POD_IP"}
    for name, value in given.items():
        monkeypatch.setenv(name, value if name != "VCH_POD_IP" else "10.0.0.1")
    settings = cli.parse(["--kubelet-certificate=/c", "--kubelet-key=/k"])
    assert settings.namespace == chart.NAMESPACE


def test_it_is_told_the_way_to_act_as_a_node_that_its_rights_are_for() -> None:
    for version, way in (("1.35.0", "legacy"), ("1.36.0", "constrained")):
        rendered = chart.render(kubernetes=version)
        assert rendered.variables["VCH_NODE_IMPERSONATION"] == way
        verbs = {verb for rule in _rules(rendered) for verb in rule["verbs"] if "impersonate" in verb}
        assert ("impersonate" in verbs) == (way == "legacy")
        assert ("impersonate:arbitrary-node" in verbs) == (way == "constrained")


@pytest.mark.parametrize(("version", "names"), [("1.35.0", ["system:node:a"]), ("1.37.0", ["a"])])
def test_hosts_that_are_named_bound_the_nodes_that_it_may_act_as(version: str, names: list[str]) -> None:
    rules = _rules(chart.render({"virtualContainerHosts": ["a"]}, kubernetes=version))
    bounded = [rule for rule in rules if {"impersonate", "impersonate:arbitrary-node"} & set(rule["verbs"])]
    assert [rule["resourceNames"] for rule in bounded if rule["resources"] != ["groups"]] == [names]


def test_no_rule_of_the_operator_has_a_wildcard() -> None:
    rendered = chart.render()
    for role in (*rendered.of("ClusterRole"), *rendered.of("Role")):
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_only_draining_may_delete_at_the_end() -> None:
    for policy, verbs in (("refuse", {"list"}), ("drain", {"list", "delete"})):
        role = chart.render({"preDelete": {"policy": policy}}).one("ClusterRole", ":uninstall")
        assert {verb for rule in role["rules"] for verb in rule["verbs"]} == verbs


def test_replicas_are_kept_apart_and_disturbed_one_at_a_time() -> None:
    rendered = chart.render()
    assert rendered.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert rendered.pod["spec"]["affinity"]["podAntiAffinity"]
    assert chart.render({"replicaCount": 1}).of("PodDisruptionBudget") == []


def _ours(variables: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith("VCH_")}


def _rules(rendered: chart.Rendered) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = rendered.one("ClusterRole", ":vch-virtual-kubelet-vch")["rules"]
    return rules
