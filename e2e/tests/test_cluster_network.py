"""ClusterNetworkReachable: whether Pods reach API server and DNS from their network is found out from their VMs."""

from collections.abc import Iterator

import pytest

from e2e.lab.cluster_dns import ADDRESS
from e2e.tests.builders import make_pod
from e2e.tests.kube import Kube, KubeObject, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab

START = 120
NOWHERE = "192.0.2.53"
"""No network has it (RFC 5737)."""
KIND = "ClusterNetworkReachable"


def test_a_pod_that_runs_finds_out_that_the_cluster_is_reached(kube: Kube, node: str) -> None:
    kube.apply(make_pod("scout", node))
    kube.until("pod", "scout", ready, timeout=START)

    def reached(vch: KubeObject) -> bool:
        return any(
            (each["type"], each["status"], each["reason"]) == (KIND, "True", "Reachable")
            for each in vch["status"]["conditions"]
        )

    kube.until("virtualcontainerhost", node, reached, timeout=60, what=f"{KIND}=True")


@pytest.fixture(name="vch")
def _vch(lab: RunningLab, kube: Kube) -> Iterator[OwnVCH]:
    vch = OwnVCH(lab, kube, "unrouted", address="127.0.0.15")
    vch.create(network={"clusterDNS": {"servers": [NOWHERE]}})
    vch.ready(timeout=90)
    yield vch
    vch.delete()


def test_a_name_server_that_is_not_routed_is_named_with_the_pod_until_it_is_mended(vch: OwnVCH, kube: Kube) -> None:
    vch.until(KIND, "Unknown", "NoPodYet")
    kube.apply(make_pod("lost", vch.name))
    kube.until("pod", "lost", ready, timeout=START)
    message = vch.until(KIND, "False", "EndpointsUnreachable", says=NOWHERE, timeout=90)
    assert f"{kube.namespace}/lost" in message
    assert "API server" not in message.split("Route")[0], "that one is reached"
    vch.ready()
    kube.delete("pod", "lost", "--force", "--grace-period=0")
    vch.until(KIND, "Unknown", "NoPodYet", timeout=60)
    old = {parent["status"]["moref"] for parent in vch.parents()}
    vch.apply(network={"clusterDNS": {"servers": [ADDRESS]}})
    for _ in kube.changes("parentvms", timeout=90):  # name servers are what a clone has from its parent
        now = {parent["status"]["moref"] for parent in vch.parents() if parent["status"].get("frozen")}
        if len(now) == len(old) and not now & old:
            break
    kube.apply(make_pod("found", vch.name))
    kube.until("pod", "found", ready, timeout=START)
    vch.until(KIND, "True", "Reachable", timeout=60)
