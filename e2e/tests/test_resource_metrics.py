"""`kubectl top` and a HorizontalPodAutoscaler work for a virtual node, by the real metrics-server as everybody has it.

The virtual node is one of this module's own, so that it is known to be empty, and is behind a Service, as in a cluster.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from e2e.lab.metrics_server import MetricsServer
from e2e.tests.builders import FOREVER, make_container, make_deployment, make_pod
from e2e.tests.kube import Kube, KubeObject, NeverHappened, condition, in_phase, running
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab

START = 120
TOLD = 240
"""Seconds: metrics-server asks every fifteen, and needs two answers for a rate; then others ask it in turn."""
NAME = "measured"

BURN = "while true; do :; done"
ON_DEMAND = """\
trap 'exit 0' TERM
while true; do
  if [ -e /load ]; then n=0; while [ $n -lt 10000 ]; do n=$((n + 1)); done; else sleep 1; fi
done
"""
"""Burns while there is a file `/load`."""
_LINE = re.compile(r"(\S+) +(\d+)m +(?:\d+% +)?(\d+)Mi")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a line of `kubectl top` says."""

    millicores: int
    mebibytes: int


@pytest.fixture(name="node", scope="module")
def _node(lab: RunningLab, module_kube: Kube) -> Iterator[str]:
    """A virtual node without Pods that metrics-server can ask."""
    metrics_server = MetricsServer(lab.laboratory.paths, lab.laboratory.state)
    vch = OwnVCH(lab, module_kube, NAME, address=None)
    with contextlib.ExitStack() as ending:
        ending.callback(vch.delete)
        vch.create()
        ending.callback(metrics_server.stop)
        metrics_server.start()
        vch.ready(timeout=START)
        yield NAME


def top(kube: Kube, *what: str) -> dict[str, Usage]:
    """By name: of nodes, Pods or containers. Empty while metrics-server does not know."""
    told = kube.run("top", *what, "--no-headers", check=False)
    return {name: Usage(int(cpu), int(memory)) for name, cpu, memory in _LINE.findall(told.stdout.decode())}


def until_told(
    kube: Kube, *what: str, so: Callable[[dict[str, Usage]], bool] = bool, timeout: float = TOLD
) -> dict[str, Usage]:
    """What `kubectl top` says, as soon as it is so; there is nothing to watch."""
    deadline = time.monotonic() + timeout
    while not so(told := top(kube, *what)):
        if time.monotonic() > deadline:
            raise NeverHappened(f"kubectl top {' '.join(what)}: not within {timeout} s; last: {told}")
        time.sleep(1)
    return told


def test_a_node_without_pods_uses_something(module_kube: Kube, node: str, lab: RunningLab) -> None:
    assert module_kube.objects("pods", "--all-namespaces", f"--field-selector=spec.nodeName={node}") == []
    told = until_told(module_kube, "node", so=lambda told: {node, lab.node("native")} <= told.keys())
    assert told[node].millicores > 0
    assert told[node].mebibytes > 0


def test_each_container_is_shown_with_what_it_uses(module_kube: Kube, node: str) -> None:
    burner = make_container("burner", BURN, resources={"limits": {"cpu": "200m", "memory": "32Mi"}})
    holder = make_container(
        "holder",
        f"dd if=/dev/zero of=/held/bytes bs=1M count=64; {FOREVER}",
        volumeMounts=[{"name": "held", "mountPath": "/held"}],
    )
    held = [{"name": "held", "emptyDir": {"medium": "Memory"}}]
    module_kube.apply(make_pod("both", node, burner, holder, volumes=held, terminationGracePeriodSeconds=0))
    module_kube.until("pod", "both", running, timeout=START)

    def settled(told: dict[str, Usage]) -> bool:
        return (
            told.keys() == {"burner", "holder"}
            and told["burner"].millicores >= 50  # of 200: the machine may be busy
            and told["holder"].millicores <= 50
            and told["holder"].mebibytes >= 64
        )

    told = until_told(module_kube, "pod", "both", "--containers", so=settled)
    assert told["burner"].millicores <= 300
    assert told["burner"].mebibytes <= 32
    assert told["holder"].mebibytes <= 128
    module_kube.delete("pod", "both")  # it would burn on


def test_a_pod_that_has_ended_is_shown_no_more(module_kube: Kube, node: str) -> None:
    module_kube.apply(make_pod("stays", node), make_pod("ends", node, restartPolicy="Never"))
    until_told(module_kube, "pod", so=lambda told: {"stays", "ends"} <= told.keys())
    module_kube.run("exec", "ends", "--", "kill", "1")
    module_kube.until("pod", "ends", in_phase("Succeeded"), timeout=START)
    until_told(module_kube, "pod", so=lambda told: "stays" in told and "ends" not in told)


def test_an_autoscaler_follows_the_load(module_kube: Kube, node: str) -> None:
    resources = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
    deployment = make_deployment("busy", node, 1, containers=[make_container(script=ON_DEMAND, resources=resources)])
    module_kube.apply(deployment, autoscaler("busy", most=3))
    idle = module_kube.until(
        "hpa", "busy", lambda hpa: condition(hpa, "ScalingActive") == "True", timeout=TOLD, what="usage is known"
    )
    assert idle["status"]["currentReplicas"] == 1

    (only,) = module_kube.objects("pods", "--selector=app=busy")
    module_kube.run("exec", only["metadata"]["name"], "--", "touch", "/load")
    module_kube.until("deployment", "busy", has_ready(3), timeout=TOLD)

    module_kube.run("exec", only["metadata"]["name"], "--", "rm", "/load")
    module_kube.until("deployment", "busy", has_ready(1), timeout=TOLD)


def autoscaler(deployment: str, *, most: int) -> KubeObject:
    """Keeps CPU usage at half of the request, and does not wait for it to settle."""
    at_once = {
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": most, "periodSeconds": 1}],
    }
    target = {"type": "Utilization", "averageUtilization": 50}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": deployment},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment},
            "minReplicas": 1,
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            "behavior": {"scaleUp": at_once, "scaleDown": at_once},
        },
    }


def has_ready(count: int) -> Callable[[KubeObject], bool]:
    """The Deployment wants, has, and has ready so many Pods."""

    def holds(deployment: KubeObject) -> bool:
        status = deployment["status"]
        counted = {deployment["spec"]["replicas"], status.get("replicas"), status.get("readyReplicas")}
        return counted == {count}

    holds.__name__ = f"{count} Pods"
    return holds
