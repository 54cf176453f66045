"""Whose Pods share memory: all of a VCH's, or those of one namespace. Native guests show which parent they are from."""

from collections.abc import Iterator

import pytest

from e2e.tests import catalog
from e2e.tests.builders import make_pod
from e2e.tests.kube import Kube, KubeObject, running
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VirtualMachines

_RUN_WITHIN = 240  # a parent is made for the first Pod


@pytest.fixture(name="namespaces")
def _namespaces(kube: Kube) -> Iterator[tuple[Kube, Kube]]:
    other = f"{kube.namespace}-b"
    kube.run("create", "namespace", other)
    kube.run("wait", "--for=create", "serviceaccount/default", "--timeout=60s", f"--namespace={other}")
    yield kube, kube.within(other)
    kube.run("delete", "namespace", other, "--wait=false")


def test_pods_of_two_namespaces_are_cloned_from_two_parents(
    namespaces: tuple[Kube, Kube], lab: RunningLab, node: str, vms: VirtualMachines
) -> None:
    kube, _ = namespaces
    with catalog.offered(kube, node, [], sharing="Namespace"):
        ran = {each.namespace: [run(each, name, node) for name in ("one", "two")] for each in namespaces}
        sources = {name: {source(vms, pod) for pod in pods} for name, pods in ran.items()}
        assert not set.intersection(*sources.values()), "no parent serves both"
        of = {parent["status"]["moref"]: parent["spec"].get("namespace", "") for parent in catalog.parents(kube, node)}
        assert {name: {of[moref] for moref in found} for name, found in sources.items()} == {
            each.namespace: {each.namespace} for each in namespaces
        }


def run(kube: Kube, name: str, node: str) -> KubeObject:
    kube.apply(make_pod(name, node))
    return kube.until("pod", name, running, timeout=_RUN_WITHIN)


def source(vms: VirtualMachines, pod: KubeObject) -> str:
    """The VM that a Pod's was cloned from."""
    (vm,) = vms.of(pod["metadata"]["uid"])
    return str(vm["sourceID"])
