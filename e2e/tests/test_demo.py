"""The demonstration on real VMs: what `make demo` shows is true, and its manifests behave as ordinary Pods do."""

import contextlib
import io
import re
from collections.abc import Iterator

import pytest

from e2e.lab import demonstration
from e2e.tests.kube import Kube, condition, container_status
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VirtualMachines


@pytest.fixture(name="printed", scope="module")
def _printed(lab: RunningLab) -> Iterator[str]:
    """What `make demo` prints; the Pods run until the module is done."""
    kube = Kube(lab.kubectl, lab.kubeconfig)
    # Both kinds of nodes are up for the tests; a newcomer has the one with QEMU guests alone.
    kube.run("cordon", lab.node("native"))
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            demonstration.run(lab.laboratory)
    finally:
        kube.run("uncordon", lab.node("native"))
    yield said.getvalue()
    kube.run("delete", "namespace", demonstration.NAMESPACE, "--timeout=180s")


@pytest.fixture(name="demo", scope="module")
def _demo(lab: RunningLab, printed: str) -> Kube:
    assert printed
    return Kube(lab.kubectl, lab.kubeconfig, demonstration.NAMESPACE)


def test_it_ends_with_a_table_of_pods_vms_addresses_and_times(printed: str, demo: Kube) -> None:
    rows = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    pods = demo.objects("pods")
    assert len(pods) == 5
    for pod in pods:
        row = rows[pod["metadata"]["name"]]
        assert pod["spec"]["nodeName"] in row
        assert pod["status"]["podIP"] in row
        assert pod["metadata"]["uid"].replace("-", "")[:10] in row, "the VM's name ends with the Pod's UID"
        assert len(re.findall(r"\d+\.\d s", row)) >= 3, "cloned, guest ready, running"


def test_each_pod_has_a_vm_of_its_own(demo: Kube, vms: VirtualMachines) -> None:
    machines = [vms.of(pod["metadata"]["uid"]) for pod in demo.objects("pods")]
    assert [len(found) for found in machines] == [1] * 5
    assert {vm["guest"] for found in machines for vm in found} == {"qemu"}
    assert len({pod["status"]["podIP"] for pod in demo.objects("pods")}) == 5


def test_the_deployment_is_available_and_serves(demo: Kube) -> None:
    deployment = demo.get("deployment", "web")
    assert deployment is not None
    assert deployment["status"]["readyReplicas"] == 3
    replicas = demo.objects("pods", "-l", "app=web")
    asking, asked = replicas[0], replicas[1]
    page = demo.text(
        "exec", asking["metadata"]["name"], "--", "wget", "-qO-", f"http://{asked['status']['podIP']}:8080/"
    )
    assert asked["metadata"]["name"] in page, "a Pod's host name is its name"


def test_the_job_failed_with_exit_code_42(demo: Kube) -> None:
    (pod,) = demo.objects("pods", "-l", "job-name=answer")
    assert pod["status"]["phase"] == "Failed"
    assert container_status(pod, "answer")["state"]["terminated"]["exitCode"] == 42
    assert demo.text("logs", pod["metadata"]["name"]).strip() == "the answer is 42"
    job = demo.get("job", "answer")
    assert job is not None
    assert condition(job, "Failed") == "True"


def test_everything_that_a_pod_can_have_is_there(demo: Kube) -> None:
    pod = demo.pod("everything")
    assert condition(pod, "Ready") == "True"
    said = demo.text("logs", "everything", "-c", "main")
    assert "prepared, hello from a ConfigMap" in said
    assert f"my address is {pod['status']['podIP']}, my node {pod['spec']['nodeName']}" in said
    assert "the password has 28 characters" in said
    assert container_status(pod, "prepare")["state"]["terminated"]["exitCode"] == 0
    assert "running" in container_status(pod, "ticker")["state"]


def test_it_runs_in_a_kernel_of_its_own(demo: Kube) -> None:
    with open("/proc/sys/kernel/random/boot_id") as file:
        ours = file.read().strip()
    theirs = demo.text("exec", "everything", "-c", "main", "--", "cat", "/proc/sys/kernel/random/boot_id").strip()
    assert theirs != ours
