"""The chart at a real API server: installed, upgraded and uninstalled by Helm 3 and 4, with nothing left but the kinds.

There is no node that could run its Pods here, so hooks are left out: their commands are tested in
`test_operator_account`, with the hooks' own accounts.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.lab import build, paths
from e2e.tests.kube import Kube, KubeObject

KINDS = (
    *("deployments", "poddisruptionbudgets", "services", "serviceaccounts", "roles", "rolebindings"),
    *("clusterroles", "clusterrolebindings", "flowschemas", "runtimeclasses", "networkpolicies"),
)
VCH_KINDS = ("virtualcontainerhosts", "podvmclasses", "podvmimages", "parentvms")


@dataclass(frozen=True, slots=True)
class Helm:
    """One major version, and a release in a namespace of its own."""

    kube: Kube
    major: int

    @property
    def release(self) -> str:
        return f"chart{self.major}"

    def run(self, command: str, *arguments: str, **values: Any) -> str:
        place = paths.here()
        argv = [str(build.helm(place, self.major)), command, self.release, *arguments]
        argv += [f"--namespace={self.kube.namespace}", f"--kubeconfig={place.kubeconfig}"]
        given = [] if command == "uninstall" else ["--values=-"]
        done = subprocess.run([*argv, *given], input=json.dumps(values), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def install(self, command: str = "install", **values: Any) -> str:
        chart = str(paths.here().checkout / "charts" / "virtual-kubelet-vch")
        mine = {"runtimeClass": {"name": self.release}, **values}
        return self.run(command, chart, "--take-ownership", **mine)

    def left(self) -> list[str]:
        """What there is of the release, but for its kinds."""
        selector = f"--selector=app.kubernetes.io/instance={self.release}"
        found = (each for kind in KINDS for each in self.kube.objects(kind, selector))
        return [f"{each['kind']}/{each['metadata']['name']}" for each in found]


@pytest.fixture(name="helm", params=[3, 4], ids=["helm3", "helm4"])
def _helm(api: Kube, request: pytest.FixtureRequest) -> Iterator[Helm]:
    kube = api.within(f"chart-helm{request.param}")
    kube.run("create", "namespace", kube.namespace)
    helm = Helm(kube, request.param)
    yield helm
    kube.run(*("delete", "namespace", kube.namespace, "--wait=false"))
    kube.run("delete", ",".join(KINDS[6:10]), f"--selector=app.kubernetes.io/instance={helm.release}")


def test_a_release_comes_changes_and_goes_and_its_kinds_stay(helm: Helm, api: Kube) -> None:
    told = helm.install()
    assert "create secret generic vcenter-credentials" in told
    before = _deployment(helm)
    assert before["spec"]["replicas"] == 2
    assert f"RuntimeClass/{helm.release}" in helm.left()

    helm.install("upgrade", replicaCount=1, preDelete={"policy": "drain"}, networkPolicy={"enabled": True})
    after = _deployment(helm)
    assert after["spec"]["replicas"] == 1
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["template"] == before["spec"]["template"], "a replica more or less restarts none"
    assert not any(each.startswith("PodDisruptionBudget/") for each in helm.left())

    helm.run("uninstall", "--no-hooks")
    assert helm.left() == []
    for plural in VCH_KINDS:
        assert api.get("crd", f"{plural}.vch.dev") is not None


def _deployment(helm: Helm) -> KubeObject:
    (found,) = helm.kube.objects("deployments")
    return found
