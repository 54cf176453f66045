"""200 Pods against a small VCH: the scheduler is told what there is, and what was bound past it is refused as a kubelet
refuses it.
"""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from e2e.lab.vch_operator import made
from e2e.tests import node_history
from e2e.tests.builders import make_container, make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, KubeObject, container_status, ready
from e2e.tests.node_history import amount
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VirtualMachines

PODS, CPU, MEMORY = 8, 4, "3Gi"
START = 120


@pytest.fixture(scope="module", name="vch")
def _vch(lab: RunningLab, module_kube: Kube) -> Iterator[OwnVCH]:
    """One host and one class, whose overhead a RuntimeClass puts into the Pods, where the scheduler sees it."""
    vch = OwnVCH(lab, module_kube, "admission", address="127.0.0.15")
    size = {"cpus": 2, "memory": "512Mi", "overhead": {"memory": "128Mi"}, "runtimeClassNames": ["admission"]}
    module_kube.apply(
        made("PodVMClass", "admission", size),
        {
            "apiVersion": "node.k8s.io/v1",
            "kind": "RuntimeClass",
            "metadata": {"name": "admission"},
            "handler": "runc",
            "overhead": {"podFixed": {"memory": "128Mi"}},
        },
    )
    vch.create(
        placement={"hosts": ["DC0_C0_H0"]},
        template={"images": ["native"], "classes": ["admission"]},
        limits={"pods": PODS, "cpu": str(CPU), "memory": MEMORY},
    )
    vch.ready(timeout=60)
    yield vch
    vch.delete()
    module_kube.run("delete", "podvmclass/admission", "runtimeclass/admission")


def some_pods(prefix: str, count: int, vch: OwnVCH, *, cpu: str, memory: str, **spec: object) -> list[KubeObject]:
    size = {"requests": {"cpu": cpu, "memory": memory}}
    return [
        make_pod(
            f"{prefix}-{number}",
            vch.name,
            make_container(resources=size),
            runtimeClassName="admission",
            terminationGracePeriodSeconds=1,
            **spec,
        )
        for number in range(count)
    ]


def until_judged(kube: Kube, prefix: str, count: int) -> tuple[list[KubeObject], list[KubeObject]]:
    """Pods bound past the scheduler: those that run and those that were refused, once each is one of them."""
    judged = []
    for number in range(count):
        judged.append(
            kube.until(
                "pod",
                f"{prefix}-{number}",
                lambda pod: ready(pod) or pod["status"].get("phase") == "Failed",
                timeout=START,
                what="runs, or is refused",
            )
        )
    return [pod for pod in judged if ready(pod)], [pod for pod in judged if not ready(pod)]


def test_200_pods_for_8_places(vch: OwnVCH, kube: Kube, vms: VirtualMachines, tmp_path: Path, figures: Figures) -> None:
    refusals: Counter[str] = Counter()
    for prefix, count, fit, cpu, memory, reason, used in (
        ("cores", 20, 2, "1500m", "16Mi", "OutOfcpu", f"used: 3000, capacity: {CPU * 1000}"),
        ("bytes", 15, 6, "10m", "250Mi", "OutOfmemory", "used: "),
        ("places", 15, PODS, "10m", "16Mi", "OutOfpods", f"requested: 1, used: {PODS}, capacity: {PODS}"),
    ):
        clones = vms.calls().get("InstantClone_Task", 0)
        kube.apply(*some_pods(prefix, count, vch, cpu=cpu, memory=memory, nodeName=vch.name))
        taken, refused = until_judged(kube, prefix, count)
        assert len(taken) == fit
        for pod in refused:
            assert pod["status"]["reason"] == reason
            assert "Node didn't have enough resource" in pod["status"]["message"]
            assert used in pod["status"]["message"]
            assert vms.of(pod["metadata"]["uid"]) == []
            refusals[reason] += 1
        assert vms.calls()["InstantClone_Task"] - clones == fit, "a refused Pod never had a VM"
        for pod in taken:  # the refused ones stay: nobody counts them
            kube.delete("pod", pod["metadata"]["name"])
        for pod in taken:
            kube.gone("pod", pod["metadata"]["name"], timeout=60)
            vms.gone(pod["metadata"]["uid"], timeout=30)

    with node_history.recorded(kube, vch.name, tmp_path) as events:
        waiting = [
            *some_pods("small", 50, vch, cpu="10m", memory="16Mi"),
            *some_pods("cpu", 50, vch, cpu="900m", memory="16Mi"),
            *some_pods("memory", 50, vch, cpu="10m", memory="240Mi"),
        ]
        kube.apply(*waiting)
        first = until_full(kube, vch, set())
        for name in first[:4]:
            kube.delete("pod", name)
        second = until_full(kube, vch, set(first[:4]))
    assert node_history.overcommitted(events, vch.name) == []
    failed = [
        event["object"]["metadata"]["name"]
        for event in events
        if event["object"]["kind"] == "Pod"
        and event["object"]["status"].get("phase") == "Failed"
        and event["object"]["metadata"]["name"].split("-")[0] in ("small", "cpu", "memory")
        and event["object"]["status"].get("reason", "").startswith("OutOf")
    ]
    assert failed == [], "whom the scheduler has bound is not refused"
    assert len(set(second) - set(first)) >= 1, "ended ones make place for others"
    figures.note("200 Pods for 8 places: refused", ", ".join(f"{why} {count}" for why, count in refusals.items()))

    vch.apply(
        placement={"hosts": ["DC0_C0_H0"]},
        template={"images": ["native"], "classes": ["admission"]},
        limits={"pods": 3, "cpu": str(CPU), "memory": MEMORY},
    )
    kube.until("node", vch.name, lambda node: node["status"]["allocatable"]["pods"] == "3", timeout=60)
    for name in second:
        pod = kube.pod(name)
        assert ready(pod), "Pods that run are not judged again"
        assert container_status(pod)["restartCount"] == 0
    (beyond,) = kube.apply(*some_pods("beyond", 1, vch, cpu="10m", memory="16Mi", nodeName=vch.name))
    late = kube.until("pod", "beyond-0", lambda pod: pod["status"].get("phase") == "Failed", timeout=30)
    assert late["status"]["reason"] == "OutOfpods"
    assert vms.of(beyond["metadata"]["uid"]) == []


def until_full(kube: Kube, vch: OwnVCH, without: set[str]) -> list[str]:
    """The names of the Pods that run, as soon as none of those that are left could be bound."""
    for _ in kube.changes("pods", timeout=START):
        on = [pod for pod in kube.objects("pods", "--field-selector=status.phase!=Failed") if takes(pod, vch)]
        names = [pod["metadata"]["name"] for pod in on]
        if not without & set(names) and all(map(ready, on)) and (len(on) == PODS or cores(on) > CPU - Decimal("0.01")):
            return names
    raise AssertionError("the node did not fill up")


def takes(pod: KubeObject, vch: OwnVCH) -> bool:
    return bool(pod["spec"].get("nodeName") == vch.name)


def cores(pods: list[KubeObject]) -> Decimal:
    return sum((amount(c["resources"]["requests"]["cpu"]) for p in pods for c in p["spec"]["containers"]), Decimal(0))
