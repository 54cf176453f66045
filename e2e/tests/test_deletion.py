"""A Pod ends as the kubelet ends it, and its VM ends with it: never two VMs for a UID, never one left."""

import pytest

from e2e.tests.builders import FOREVER, make_container, make_pod, make_stateful_set
from e2e.tests.kube import Kube, container_status, in_phase, running
from e2e.tests.virtual_machines import VirtualMachines

START = 120


def uid_of(pod: dict) -> str:
    return str(pod["metadata"]["uid"])


@pytest.mark.both_guests
def test_a_graceful_delete_runs_the_hook_then_terms_and_keeps_the_real_exit_code(
    kube: Kube, any_node: str, vms: VirtualMachines
) -> None:
    said = "trap 'echo term; exit 7' TERM; echo up; while true; do sleep 3600 & wait $!; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1"]}}}
    kube.apply(make_pod("polite", any_node, make_container(script=said, lifecycle=hook)))
    uid = uid_of(kube.until("pod", "polite", running, timeout=START * 3))
    following = kube.start("logs", "-f", "polite")
    watching = kube.watch("pod", "polite", timeout=120)
    next(watching)

    kube.delete("pod", "polite")
    last = None
    for last in watching:
        if last["metadata"].get("deletionGracePeriodSeconds") == 0 or in_phase("Failed", "Succeeded")(last):
            break
    assert last is not None
    kube.gone("pod", "polite", timeout=60, uid=uid)
    said_lines, _ = following.communicate(timeout=30)
    assert said_lines.decode().split() == ["up", "hook", "term"]
    assert container_status(last)["state"]["terminated"]["exitCode"] == 7
    assert last["status"]["phase"] == "Failed"
    vms.gone(uid, timeout=10)


def test_a_container_that_ignores_term_is_killed_after_the_grace_period(
    kube: Kube, node: str, vms: VirtualMachines
) -> None:
    deaf = "trap '' TERM; while true; do sleep 1; done"
    kube.apply(make_pod("deaf", node, make_container(script=deaf), terminationGracePeriodSeconds=3))
    uid = uid_of(kube.until("pod", "deaf", running, timeout=START))
    watching = kube.watch("pod", "deaf", timeout=120)
    next(watching)
    kube.delete("pod", "deaf")
    codes = []
    for seen in watching:
        terminated = container_status(seen).get("state", {}).get("terminated")
        if terminated:
            codes.append(terminated["exitCode"])
            break
    assert codes == [137]
    kube.gone("pod", "deaf", timeout=60, uid=uid)
    vms.gone(uid, timeout=10)


@pytest.mark.both_guests
def test_a_force_delete_ends_the_vm(kube: Kube, any_node: str, vms: VirtualMachines) -> None:
    kube.apply(make_pod("forced", any_node))
    uid = uid_of(kube.until("pod", "forced", running, timeout=START))
    assert len(vms.of(uid)) == 1
    kube.delete("pod", "forced", "--force", "--grace-period=0")
    vms.gone(uid, timeout=30)


@pytest.mark.both_guests
def test_a_pod_deleted_while_its_vm_is_cloned_leaves_no_vm(kube: Kube, any_node: str, vms: VirtualMachines) -> None:
    fault = vms.add_fault(method="InstantClone_Task", delayMs=3000, when="before", count=1)
    try:
        (pod,) = kube.apply(make_pod("hasty", any_node))
        uid = uid_of(pod)
        kube.until("pod", "hasty", lambda seen: bool(seen["spec"].get("nodeName")), timeout=30)
        kube.delete("pod", "hasty")
        kube.gone("pod", "hasty", timeout=60, uid=uid)
        vms.gone(uid, timeout=30)
    finally:
        vms.remove_fault(fault)


@pytest.mark.both_guests
def test_a_name_that_is_used_again_at_once_gets_a_vm_of_its_own(
    kube: Kube, any_node: str, vms: VirtualMachines
) -> None:
    kube.apply(make_stateful_set("again", any_node))
    old = uid_of(kube.until("pod", "again-0", running, timeout=START))
    kube.delete("pod", "again-0", "--force", "--grace-period=0")
    new = kube.until("pod", "again-0", lambda pod: uid_of(pod) != old and running(pod), timeout=START)
    assert len(vms.of(uid_of(new))) == 1
    vms.gone(old, timeout=30)
    assert len(vms.of(uid_of(new))) == 1


def test_a_pod_that_ignores_nothing_and_is_deleted_before_it_runs_ends_too(
    kube: Kube, node: str, vms: VirtualMachines
) -> None:
    kube.apply(make_pod("pulling", node, make_container(script=FOREVER, image="vch.dev/none:1")))
    uid = uid_of(
        kube.until(
            "pod",
            "pulling",
            lambda seen: (
                container_status(seen).get("state", {}).get("waiting", {}).get("reason")
                in ("ErrImagePull", "ImagePullBackOff")
            ),
            timeout=START,
        )
    )
    kube.delete("pod", "pulling")
    kube.gone("pod", "pulling", timeout=60, uid=uid)
    vms.gone(uid, timeout=10)
