"""Simulated guests: the operator does with them all that it does with others, by the dozen."""

import time
from collections.abc import Iterator

import pytest

from e2e.tests.kube import Kube, KubeObject, NeverHappened, in_phase, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.simulated_vch import simulated_pod, simulated_vch
from e2e.tests.virtual_machines import VirtualMachines

PODS = 50
START = 120


@pytest.fixture(name="host", scope="module")
def _host(lab: RunningLab, module_kube: Kube) -> Iterator[OwnVCH]:
    with simulated_vch(lab, module_kube, pods=100) as host:
        yield host


@pytest.mark.usefixtures("host")
def test_fifty_pods_run_are_adopted_and_go(kube: Kube, lab: RunningLab, vms: VirtualMachines) -> None:
    names = [f"many-{i}" for i in range(PODS)]
    made = kube.apply(*(simulated_pod(name) for name in names))
    for name in names:
        kube.until("pod", name, ready, timeout=START)
    before = {pod["metadata"]["name"]: pod for pod in kube.objects("pods")}
    assert len({pod["status"]["podIP"] for pod in before.values()}) == PODS
    assert "simulated container main started" in kube.text("logs", "many-7")
    machines = _machines(vms, made)

    lab.kill_operator()
    lab.start_operator()
    kube.apply(simulated_pod("later"))
    kube.until("pod", "later", ready, timeout=START)
    assert "simulated container main started" in _logs_again(kube, "many-11")
    after = {pod["metadata"]["name"]: pod for pod in kube.objects("pods")}
    for name in names:
        assert after[name]["status"]["containerStatuses"] == before[name]["status"]["containerStatuses"]
        assert after[name]["status"]["conditions"] == before[name]["status"]["conditions"]
    assert _machines(vms, made) == machines

    kube.run("delete", "pods", "--all", "--wait=false")
    for pod in made:
        kube.gone("pod", pod["metadata"]["name"], timeout=START)
        vms.gone(pod["metadata"]["uid"], timeout=60)


@pytest.mark.usefixtures("host")
def test_a_script_says_how_containers_end(kube: Kube) -> None:
    kube.apply(
        simulated_pod("done", script={"startMs": 200, "runMs": 500}, restartPolicy="Never"),
        simulated_pod("broken", script={"runMs": 500, "exitCode": 3}, restartPolicy="Never"),
        simulated_pod("again", script={"runMs": 300, "exitCode": 1}),
    )
    kube.until("pod", "done", in_phase("Succeeded"), timeout=START)
    broken = kube.until("pod", "broken", in_phase("Failed"), timeout=START)
    assert broken["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3

    def loops(pod: KubeObject) -> bool:
        statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
        return bool(statuses[0]["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff")

    kube.until("pod", "again", loops, timeout=START)


@pytest.mark.usefixtures("host")
def test_a_guest_that_crashes_fails_its_pod(kube: Kube) -> None:
    kube.apply(simulated_pod("crashing", script={"crashMs": 1500}, restartPolicy="Never"))
    kube.until("pod", "crashing", in_phase("Failed"), timeout=START)


@pytest.mark.usefixtures("host")
def test_a_pod_whose_guest_is_lost_is_deleted_all_the_same(kube: Kube, vms: VirtualMachines) -> None:
    (pod,) = kube.apply(simulated_pod("lost", script={"lostMs": 500}, terminationGracePeriodSeconds=1))
    kube.until("pod", "lost", ready, timeout=START)
    time.sleep(1)  # nothing tells from outside when a guest says nothing any more
    kube.delete("pod", "lost")
    kube.gone("pod", "lost", timeout=START)
    vms.gone(pod["metadata"]["uid"], timeout=60)


def _machines(vms: VirtualMachines, pods: list[KubeObject]) -> set[str]:
    """The VMs of these Pods."""
    return {vm["id"] for pod in pods for vm in vms.of(pod["metadata"]["uid"])}


def _logs_again(kube: Kube, name: str) -> str:
    """The logs, as soon as the next operator serves the Pod's: there is no event to wait for on that."""
    deadline = time.monotonic() + START
    while (answer := kube.run("logs", name, check=False)).returncode != 0:
        if time.monotonic() > deadline:
            raise NeverHappened(f"kubectl logs {name} did not work within {START} s")
        time.sleep(0.2)
    return answer.stdout.decode()
