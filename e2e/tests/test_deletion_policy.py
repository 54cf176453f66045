"""What becomes of Pods and VMs when a VCH is deleted is what its `spec.deletionPolicy` says."""

from collections.abc import Iterator

import pytest

from e2e.tests.builders import make_pod
from e2e.tests.kube import Kube, in_phase, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VirtualMachines

START = 90
END = 60


@pytest.fixture(name="vch")
def _vch(lab: RunningLab, kube: Kube, request: pytest.FixtureRequest) -> Iterator[OwnVCH]:
    """With the policy that the test names, and a Pod `last` that runs."""
    vch = OwnVCH(lab, kube, f"end-{request.param.lower()}", address="127.0.0.14")
    vch.create(deletionPolicy=request.param)
    vch.ready(timeout=60)
    kube.apply(make_pod("last", vch.name))
    kube.until("pod", "last", ready, timeout=START)
    yield vch
    kube.delete("pod", "last", "--force", "--grace-period=0")
    vch.delete()


@pytest.mark.parametrize("vch", ["Drain"], indirect=True)
def test_drain_ends_the_pods_with_their_grace_then_vms_and_node(vch: OwnVCH, kube: Kube, lab: RunningLab) -> None:
    states = kube.watch("pod", "last", timeout=END)
    next(states)
    vch.delete()
    phases = [state["status"]["phase"] for state in states if state["metadata"].get("deletionTimestamp")]
    assert phases[-1] == "Succeeded", "it ended by itself when it was asked to"
    assert kube.get("pod", "last") is None
    assert kube.get("node", vch.name) is None
    assert lab.govc("ls", vch.folder).split() == []


@pytest.mark.parametrize("vch", ["Refuse"], indirect=True)
def test_refuse_waits_until_somebody_has_deleted_the_pods(vch: OwnVCH, kube: Kube, lab: RunningLab) -> None:
    kube.delete("virtualcontainerhost", vch.name)
    message = vch.until("Ready", "False", "DeletionRefused")
    assert "1 Pods" in message
    node = kube.until("node", vch.name, lambda node: bool(node["spec"].get("unschedulable")), timeout=30)
    assert ready(node)
    assert ready(kube.pod("last"))
    kube.delete("pod", "last")
    kube.gone("pod", "last", timeout=END)
    kube.gone("virtualcontainerhost", vch.name, timeout=END)
    assert kube.get("node", vch.name) is None
    assert lab.govc("ls", vch.folder).split() == []


@pytest.mark.parametrize("vch", ["Orphan"], indirect=True)
def test_orphan_leaves_every_vm_as_it_is(vch: OwnVCH, kube: Kube, lab: RunningLab, vms: VirtualMachines) -> None:
    before = kube.pod("last")
    assert in_phase("Running")(before)
    machines = sorted(lab.govc("ls", vch.folder).split())
    vch.delete()
    assert kube.get("node", vch.name) is None
    try:
        assert sorted(lab.govc("ls", vch.folder).split()) == machines
        (vm,) = vms.of(before["metadata"]["uid"])
        assert vm["power"] == "poweredOn"
        assert vm["state"] == "running"
    finally:
        for machine in machines:
            lab.govc("vm.destroy", machine)
