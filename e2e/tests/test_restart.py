"""The operator may die at any point: pods run on, every VM is adopted, none is made twice."""

import pytest

from e2e.tests.builders import make_pod
from e2e.tests.kube import Kube, container_status, ready, running
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VirtualMachines

START = 120


@pytest.mark.both_guests
def test_living_pods_are_adopted_without_a_trace(
    kube: Kube, any_node: str, lab: RunningLab, vms: VirtualMachines
) -> None:
    names = ["kept-0", "kept-1"]
    kube.apply(*(make_pod(name, any_node) for name in names))
    before = {name: kube.until("pod", name, ready, timeout=START * 4) for name in names}
    machines = {name: vms.of(pod["metadata"]["uid"]) for name, pod in before.items()}
    flaps = {name: kube.watch("pod", name, timeout=300) for name in names}
    for states in flaps.values():
        next(states)

    lab.kill_operator()
    lab.start_operator()

    for name in names:
        # It answers again: the adoption is complete for this Pod.
        lab.until_exec_works(kube, name)
        after = kube.pod(name)
        assert container_status(after)["containerID"] == container_status(before[name])["containerID"]
        assert container_status(after)["restartCount"] == 0
        assert after["status"]["conditions"] == before[name]["status"]["conditions"]
        assert [vm["id"] for vm in vms.of(after["metadata"]["uid"])] == [vm["id"] for vm in machines[name]]

    # Whatever was written to the Pods meanwhile would come before this mark.
    for name in names:
        kube.run("label", "pod", name, "mark=here")
        for state in flaps[name]:
            assert ready(state), f"{name} flapped: {state['status']}"
            if state["metadata"]["labels"].get("mark") == "here":
                break


def test_a_pod_is_deleted_properly_by_the_next_operator(
    kube: Kube, node: str, lab: RunningLab, vms: VirtualMachines
) -> None:
    kube.apply(make_pod("orphan", node), make_pod("leaver", node))
    orphan = kube.until("pod", "orphan", running, timeout=START)["metadata"]["uid"]
    leaver = kube.until("pod", "leaver", running, timeout=START)["metadata"]["uid"]
    lab.kill_operator()
    kube.delete("pod", "orphan", "--force", "--grace-period=0")
    kube.delete("pod", "leaver")
    lab.start_operator()
    kube.gone("pod", "leaver", timeout=90, uid=leaver)
    vms.gone(leaver, timeout=30)
    vms.gone(orphan, timeout=150)  # two passes of the collector


@pytest.mark.both_guests
def test_a_kill_during_a_clone_leaves_exactly_one_vm(
    kube: Kube, any_node: str, lab: RunningLab, vms: VirtualMachines
) -> None:
    before = vms.calls().get("InstantClone_Task", 0)
    fault = vms.add_fault(method="InstantClone_Task", delayMs=4000, when="before", count=1)
    try:
        (pod,) = kube.apply(make_pod("torn", any_node))
        vms.until(
            pod["metadata"]["uid"],
            lambda _: vms.calls().get("InstantClone_Task", 0) > before,
            timeout=60,
            what="the clone is asked for",
        )
        lab.kill_operator()
        lab.start_operator()
        kube.until("pod", "torn", ready, timeout=START)
        assert len(vms.of(pod["metadata"]["uid"])) == 1
    finally:
        vms.remove_fault(fault)


def test_a_lost_reply_to_the_clone_makes_no_second_vm(kube: Kube, node: str, vms: VirtualMachines) -> None:
    fault = vms.add_fault(method="InstantClone_Task", when="reply-lost", count=1)
    try:
        kube.apply(make_pod("lost", node))
        pod = kube.until("pod", "lost", ready, timeout=START)
        assert len(vms.of(pod["metadata"]["uid"])) == 1
    finally:
        vms.remove_fault(fault)
