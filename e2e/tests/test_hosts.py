"""Three ESXi hosts: parents on each, Pods spread over them, and what is lost with a host is made anew elsewhere."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from e2e.lab.vch_operator import made
from e2e.tests.builders import make_deployment, make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, KubeObject, NeverHappened, condition, container_status, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.vcenter_control import VCenterControl
from e2e.tests.virtual_machines import VirtualMachines

CLASSES = {"hosts-small": 1, "hosts-large": 2}
HOSTS = ("DC0_C0_H0", "DC0_C0_H1", "DC0_C0_H2")
START = 90
LOSS = 90
"""Seconds from a host's end to its Pods': a minute in which vSphere HA could start them elsewhere, and some."""


@pytest.fixture(scope="module", name="vch")
def _vch(lab: RunningLab, module_kube: Kube) -> Iterator[OwnVCH]:
    """Three hosts and two classes."""
    vch = OwnVCH(lab, module_kube, "hosts")
    module_kube.apply(*(made("PodVMClass", name, {"cpus": cpus, "memory": "1Gi"}) for name, cpus in CLASSES.items()))
    vch.create(template={"images": ["native"], "classes": list(CLASSES)})
    vch.ready(timeout=60)
    yield vch
    vch.delete()
    module_kube.run("delete", "podvmclasses", *CLASSES)


@pytest.fixture(autouse=True)
def _whole(vch: OwnVCH, vcenter: VCenterControl) -> Iterator[None]:
    """Each test begins with all parents."""
    until_all_parents(vch)
    yield
    vcenter.mend()


def until_all_parents(vch: OwnVCH) -> list[KubeObject]:
    """Six parents that can be cloned, each on the host that it is for. The VCH's own count is a few seconds old."""
    for _ in vch.kube.changes("parentvms", timeout=60):
        parents = vch.parents()
        if len(parents) == 6 and all(condition(each, "Ready") == "True" for each in parents):
            return parents
    raise NeverHappened(f"{vch.name}: not six parents that can be cloned: {vch.parents()}")


def deploy(kube: Kube, name: str, vch: OwnVCH, replicas: int, **spec: object) -> list[KubeObject]:
    """A Deployment's Pods, all Ready."""
    kube.apply(make_deployment(name, vch.name, replicas, **spec))
    return until_available(kube, name, replicas, timeout=START)


def until_available(kube: Kube, name: str, replicas: int, *, timeout: float) -> list[KubeObject]:
    def so(deployment: KubeObject) -> bool:
        return bool(deployment.get("status", {}).get("availableReplicas") == replicas)

    kube.until("deployment", name, so, timeout=timeout, what=f"{replicas} available")
    pods = kube.objects("pods", f"--selector=app={name}", "--field-selector=status.phase=Running")
    return [pod for pod in pods if ready(pod) and not pod["metadata"].get("deletionTimestamp")]


def host_of(pod: KubeObject, vms: VirtualMachines, vcenter: VCenterControl) -> str:
    """The name of the host that a Pod's VM is on."""
    (vm,) = vms.of(pod["metadata"]["uid"])
    (name,) = [name for name, host in vcenter.hosts().items() if host["id"] == vm["host"]]
    return name


def test_each_host_gets_a_parent_of_each_class_and_pods_spread(
    kube: Kube, vch: OwnVCH, vms: VirtualMachines, vcenter: VCenterControl, figures: Figures
) -> None:
    parents = until_all_parents(vch)
    places = Counter((parent["status"]["hostName"], parent["spec"]["class"]) for parent in parents)
    assert places == {(host, vm_class): 1 for host in HOSTS for vm_class in CLASSES}
    pods = deploy(kube, "spread", vch, 6)
    on = Counter(host_of(pod, vms, vcenter) for pod in pods)
    # Two each, unless VMs of others still count on one of them.
    assert set(on) == set(HOSTS)
    assert max(on.values()) <= 3
    figures.note("6 Pods over 3 hosts", ", ".join(f"{host} {count}" for host, count in sorted(on.items())))


def test_a_lost_hosts_pods_fail_with_a_reason_and_are_replaced_elsewhere(
    kube: Kube, vch: OwnVCH, vms: VirtualMachines, vcenter: VCenterControl, figures: Figures
) -> None:
    pods = deploy(kube, "lost", vch, 3)
    place = {pod["metadata"]["name"]: host_of(pod, vms, vcenter) for pod in pods}
    (gone,) = [pod for pod in pods if place[pod["metadata"]["name"]] == HOSTS[1]]
    vcenter.host(HOSTS[1], "lost")
    failed = kube.until("pod", gone["metadata"]["name"], lambda pod: pod["status"]["phase"] == "Failed", timeout=LOSS)
    assert failed["status"]["reason"] == "VirtualMachineLost"
    assert condition(failed, "DisruptionTarget") == "True"
    assert "host is lost" in failed["status"]["message"]

    now = until_available(kube, "lost", 3, timeout=START)
    replaced = [pod for pod in now if pod["metadata"]["name"] not in place]
    assert [host_of(pod, vms, vcenter) != HOSTS[1] for pod in replaced] == [True]
    untouched = [pod for pod in pods if place[pod["metadata"]["name"]] != HOSTS[1]]
    for pod in untouched:
        after = kube.pod(pod["metadata"]["name"])
        assert container_status(after)["containerID"] == container_status(pod)["containerID"]
        assert container_status(after)["restartCount"] == 0
        assert after["status"]["conditions"] == pod["status"]["conditions"]

    vcenter.host(HOSTS[1], "connected")
    until_all_parents(vch)
    vms.gone(gone["metadata"]["uid"], timeout=30)
    figures.note("a lost host's Pod failed after", f"{_seconds(gone, failed):.0f} s (of which 60 s are for vSphere HA)")


def _seconds(before: KubeObject, failed: KubeObject) -> float:
    (since,) = [c["lastTransitionTime"] for c in failed["status"]["conditions"] if c["type"] == "DisruptionTarget"]
    (until,) = [c["lastTransitionTime"] for c in before["status"]["conditions"] if c["type"] == "Ready"]
    return (datetime.fromisoformat(since) - datetime.fromisoformat(until)).total_seconds()


def test_a_pod_on_a_lost_host_can_be_deleted_and_its_namesake_waits_for_the_host(
    kube: Kube, vch: OwnVCH, vms: VirtualMachines, vcenter: VCenterControl
) -> None:
    kube.apply(make_pod("stuck", vch.name))
    pod = kube.until("pod", "stuck", ready, timeout=START)
    place = host_of(pod, vms, vcenter)
    vcenter.host(place, "lost")
    kube.delete("pod", "stuck")
    kube.gone("pod", "stuck", timeout=LOSS, uid=pod["metadata"]["uid"])
    kube.apply(make_pod("stuck", vch.name))
    waits = kube.until("pod", "stuck", lambda pod: pod["status"].get("reason") == "PredecessorRuns", timeout=30)
    assert vms.of(waits["metadata"]["uid"]) == [], "the one of the same name may run on where nobody sees it"
    vcenter.host(place, "connected")
    kube.until("pod", "stuck", ready, timeout=START)
    vms.gone(pod["metadata"]["uid"], timeout=10)


def test_a_host_that_is_only_disconnected_from_vcenter_keeps_its_pods(
    kube: Kube, vch: OwnVCH, vms: VirtualMachines, vcenter: VCenterControl
) -> None:
    kube.apply(make_pod("kept", vch.name))
    pod = kube.until("pod", "kept", ready, timeout=START)
    vcenter.host(host_of(pod, vms, vcenter), "disconnected")
    with pytest.raises(NeverHappened):  # the time after which the Pod of a lost host fails
        kube.until("pod", "kept", lambda pod: not ready(pod), timeout=LOSS - 20)


def test_a_host_in_maintenance_gets_no_new_pods(
    kube: Kube, vch: OwnVCH, vms: VirtualMachines, vcenter: VCenterControl
) -> None:
    vcenter.host(HOSTS[2], "maintenance", mode="immediate")
    pods = deploy(kube, "elsewhere", vch, 4)
    assert {host_of(pod, vms, vcenter) for pod in pods} == {HOSTS[0], HOSTS[1]}


def test_a_host_that_refuses_for_lack_of_resources_is_avoided(
    kube: Kube, vch: OwnVCH, vms: VirtualMachines, vcenter: VCenterControl
) -> None:
    full = [parent["status"]["moref"] for parent in vch.parents() if parent["status"]["hostName"] == HOSTS[0]]
    faults = [
        vms.add_fault(method="InstantClone_Task", object=moref, fault="InsufficientResourcesFault", count=1000)
        for moref in full
    ]
    before = vms.calls().get("InstantClone_Task", 0)
    try:
        pods = deploy(kube, "avoiding", vch, 4)
    finally:
        for fault in faults:
            vms.remove_fault(fault)
    assert HOSTS[0] not in {host_of(pod, vms, vcenter) for pod in pods}
    assert vms.calls()["InstantClone_Task"] - before <= 4 + 4, "each Pod has asked it once at most"


def test_an_ha_restart_thaws_parents_which_freeze_again(
    kube: Kube, vch: OwnVCH, vms: VirtualMachines, vcenter: VCenterControl
) -> None:
    moved = {p["status"]["moref"] for p in vch.parents() if p["status"]["hostName"] == HOSTS[0]}
    vcenter.host(HOSTS[0], "lost", haRestart=True)
    pods = deploy(kube, "meanwhile", vch, 2)
    assert HOSTS[0] not in {host_of(pod, vms, vcenter) for pod in pods}
    vcenter.host(HOSTS[0], "connected")
    now = until_all_parents(vch)
    assert Counter(p["status"]["hostName"] for p in now if p["status"]["frozen"]) == dict.fromkeys(HOSTS, 2)
    assert not moved & {p["status"]["moref"] for p in now}, "on another host they are of no use"


def test_a_parent_that_is_reset_freezes_again(vch: OwnVCH, lab: RunningLab, vms: VirtualMachines) -> None:
    parent = until_all_parents(vch)[0]["status"]
    before = vms.named(parent["vmName"])["timings"]["frozen"]
    lab.govc("vm.power", "-reset", f"{vch.folder}/{parent['vmName']}")

    def frozen_again(vm: dict[str, Any]) -> bool:
        return bool(vm["state"] == "frozen" and vm["timings"]["frozen"] != before)

    vms.until_named(parent["vmName"], frozen_again, timeout=30, what="it is frozen again")
    assert parent["moref"] in {each["status"]["moref"] for each in until_all_parents(vch)}, "the same VM"
