"""What an admin does to a node and its VMs: cordon, drain, declare it dead, reset a VM; and how that ends Pods."""

from collections.abc import Iterator

import pytest

from e2e.lab.simulator import FOLDER
from e2e.tests.builders import make_container, make_pod, make_stateful_set
from e2e.tests.kube import Kube, KubeObject, condition, container_status, ready, running
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VirtualMachines

START = 120
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def uid_of(pod: KubeObject) -> str:
    return str(pod["metadata"]["uid"])


@pytest.fixture(name="schedulable")
def _schedulable(kube: Kube, node: str) -> Iterator[str]:
    """The node, which is to be as it was afterwards."""
    yield node
    kube.run("uncordon", node)
    kube.run("taint", "node", node, f"{OUT_OF_SERVICE}-", check=False)


def test_a_drain_waits_for_budgets_and_returns_when_the_vms_are_off(
    kube: Kube, schedulable: str, vms: VirtualMachines
) -> None:
    names = ("calm-0", "calm-1")
    kube.apply(make_stateful_set("calm", schedulable, replicas=2), _budget("calm", 1))
    uids = {name: uid_of(kube.until("pod", name, ready, timeout=START)) for name in names}
    drain = ("drain", schedulable, "--pod-selector=app=calm")

    refused = kube.run(*drain, "--timeout=20s", check=False)
    assert refused.returncode != 0
    assert b"disruption budget" in refused.stderr
    kept = [name for name in names if (pod := kube.get("pod", name)) and uid_of(pod) == uids[name]]
    assert len(kept) == 1, "one may go, the other one must stay"
    assert ready(kube.pod(kept[0]))
    for name in set(names) - set(kept):
        assert _off(vms, uids[name])

    kube.delete("poddisruptionbudget", "calm")
    kube.run(*drain, "--timeout=60s")
    assert all(_off(vms, uid) for uid in uids.values()), "the drain has returned"
    kube.run("uncordon", schedulable)
    for name in names:
        pod = kube.until("pod", name, ready, timeout=START)
        assert uid_of(pod) != uids[name]


def test_a_cordon_touches_no_pod_and_stays(kube: Kube, schedulable: str, vms: VirtualMachines, lab: RunningLab) -> None:
    kube.apply(make_pod("before", schedulable))
    before = kube.until("pod", "before", ready, timeout=START)
    kube.run("cordon", schedulable)
    (after,) = kube.apply(make_pod("after", schedulable))
    lab.kill_operator()
    lab.start_operator()
    lab.until_exec_works(kube, "before")
    kube.until("pod", "after", lambda pod: condition(pod, "PodScheduled") == "False", timeout=30)
    found = kube.get("node", schedulable)
    assert found is not None
    assert found["spec"]["unschedulable"]
    assert vms.of(uid_of(after)) == []
    assert uid_of(kube.pod("before")) == uid_of(before)
    kube.run("uncordon", schedulable)
    kube.until("pod", "after", ready, timeout=START)


def test_the_grace_of_the_delete_counts_and_not_the_one_of_the_spec(
    kube: Kube, node: str, vms: VirtualMachines
) -> None:
    deaf = make_container(script="trap '' TERM; while true; do sleep 1; done")
    kube.apply(make_pod("deaf", node, deaf, terminationGracePeriodSeconds=600))
    uid = uid_of(kube.until("pod", "deaf", running, timeout=START))
    kube.delete("pod", "deaf", "--grace-period=3")
    kube.gone("pod", "deaf", timeout=45, uid=uid)
    vms.gone(uid, timeout=15)


def test_a_vm_that_is_reset_is_the_same_pod(kube: Kube, node: str, lab: RunningLab, vms: VirtualMachines) -> None:
    script = "echo started >> /kept/starts; trap 'exit 0' TERM; while true; do sleep 3600 & wait $!; done"
    container = make_container(script=script, volumeMounts=[{"name": "kept", "mountPath": "/kept"}])
    kube.apply(make_pod("booted", node, container, volumes=[{"name": "kept", "emptyDir": {}}]))
    before = kube.until("pod", "booted", ready, timeout=START)
    (vm,) = vms.of(uid_of(before))
    lab.govc("vm.power", "-reset", f"{FOLDER}/{node}/{vm['name']}")
    again = kube.until(
        "pod", "booted", lambda pod: running(pod) and container_status(pod)["restartCount"] == 1, timeout=START
    )
    assert uid_of(again) == uid_of(before)
    lab.until_exec_works(kube, "booted")
    assert kube.text("exec", "booted", "--", "cat", "/kept/starts").split() == ["started"] * 2
    assert [each["id"] for each in vms.of(uid_of(before))] == [vm["id"]]


def test_vms_of_a_node_that_was_declared_dead_are_gone_before_new_pods_start(
    kube: Kube, schedulable: str, lab: RunningLab, vms: VirtualMachines
) -> None:
    kube.apply(make_stateful_set("db", schedulable))
    old = uid_of(kube.until("pod", "db-0", ready, timeout=START))
    lab.kill_operator()
    try:
        kube.until("node", schedulable, lambda node: condition(node, "Ready") == "Unknown", timeout=120)
        kube.run("taint", "node", schedulable, f"{OUT_OF_SERVICE}=nodeshutdown:NoExecute")
        kube.gone("pod", "db-0", timeout=120, uid=old)
        assert len(vms.of(old)) == 1, "nobody could end it"
        kube.run("taint", "node", schedulable, f"{OUT_OF_SERVICE}-")
    finally:
        lab.start_operator()
    new = kube.until("pod", "db-0", lambda pod: uid_of(pod) != old and running(pod), timeout=START)
    assert _off(vms, old), "at most one runs"
    vms.gone(old, timeout=120)
    assert len(vms.of(uid_of(new))) == 1


def _budget(name: str, available: int) -> KubeObject:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name},
        "spec": {"minAvailable": available, "selector": {"matchLabels": {"app": name}}},
    }


def _off(vms: VirtualMachines, uid: str) -> bool:
    return all(vm["power"] == "poweredOff" for vm in vms.of(uid))
