"""A Pod is planned, or refused with the field that cannot be honoured; nothing is silently ignored."""

import pytest
from kubernetes.client import V1PodSpec

from provider import plan
from provider.errors import ExceedsVMClass, UnsupportedPod
from tests.builders import GIB, UID, make_class, make_container, make_pod

MIB = 2**20


def resources(**requests: str) -> dict:
    return make_container(resources={"requests": requests})


def test_a_pod_becomes_a_vm_that_is_named_after_it() -> None:
    planned = plan.plan_pod(make_pod("web"), make_class())
    assert planned.vm_name == "web-0a1b2c3d11"
    assert planned.hostname == "web"
    assert planned.uid == UID


def test_a_vm_name_is_shorter_than_vsphere_allows_and_ends_with_the_uid() -> None:
    name = plan.vm_name("x" * 253, UID)
    assert len(name) == 79
    assert name.endswith("-0a1b2c3d11")


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("spec.hostPID", {"hostPID": True}),
        ("spec.hostIPC", {"hostIPC": True}),
        ("spec.hostNetwork", {"hostNetwork": True}),
        ("spec.hostUsers", {"hostUsers": False}),
        ("spec.os.name", {"os": {"name": "windows"}}),
        ("spec.nodeSelector[kubernetes.io/os]", {"nodeSelector": {"kubernetes.io/os": "windows"}}),
        ("spec.setHostnameAsFQDN", {"setHostnameAsFQDN": True}),
        ("spec.resourceClaims", {"resourceClaims": [{"name": "gpu"}]}),
        ("spec.securityContext.sysctls[0]", {"securityContext": {"sysctls": [{"name": "net.core.somaxconn"}]}}),
        ("spec.volumes[0].hostPath.path", {"volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]}),
        ("spec.volumes[0].hostPath.path", {"volumes": [{"name": "v", "hostPath": {"path": "/tmp/../etc"}}]}),
        ("spec.volumes[0].hostPath.path", {"volumes": [{"name": "v", "hostPath": {"path": "/tmpfoo"}}]}),
        ("spec.volumes[1].nfs", {"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "nfs": {}}]}),
        ("spec.volumes[0].persistentVolumeClaim", {"volumes": [{"name": "v", "persistentVolumeClaim": {}}]}),
        ("spec.volumes[0].emptyDir.medium", {"volumes": [{"name": "v", "emptyDir": {"medium": "HugePages-2Mi"}}]}),
        (
            "spec.volumes[0].projected.sources[0].clusterTrustBundle",
            {"volumes": [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {}}]}}]},
        ),
        ("spec.containers[0].ports[0].hostPort", {"containers": [make_container(ports=[{"hostPort": 80}])]}),
        ("spec.initContainers[0].volumeDevices", {"initContainers": [make_container(volumeDevices=[{}])]}),
        (
            "spec.containers[0].resources.requests[nvidia.com/gpu]",
            {"containers": [resources(**{"nvidia.com/gpu": "1"})]},
        ),
    ],
)
def test_what_no_pod_vm_can_honour_is_refused_by_its_field(field: str, spec: dict) -> None:
    with pytest.raises(UnsupportedPod) as refused:
        plan.plan_pod(make_pod(**spec), make_class())
    assert refused.value.field == field
    assert field in str(refused.value)
    assert refused.value.retry_after is None


@pytest.mark.parametrize(
    "spec",
    [
        {"volumes": [{"name": "v", "hostPath": {"path": "/dev/null"}}]},
        {"volumes": [{"name": "v"}]},
        {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {}, "secret": None}]}}]},
        {"hostPID": False, "hostNetwork": False},
        {"hostUsers": True},
        {"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced"}]}},
    ],
)
def test_what_the_guest_can_do_is_let_through(spec: dict) -> None:
    plan.plan_pod(make_pod(**spec), make_class())


def test_a_daemon_set_that_tolerates_everything_is_refused_with_the_remedy() -> None:
    pod = make_pod(tolerations=[{"operator": "Exists"}])
    pod["metadata"]["ownerReferences"] = [{"kind": "DaemonSet"}]
    with pytest.raises(UnsupportedPod, match="affinity"):
        plan.plan_pod(pod, make_class())
    pod["spec"]["tolerations"] = [{"operator": "Exists", "key": "virtual-kubelet.io/provider"}]
    plan.plan_pod(pod, make_class())


@pytest.mark.parametrize(("name", "amount"), [("cpu", "2001m"), ("memory", "1025Mi")])
def test_more_than_the_class_has_is_refused(name: str, amount: str) -> None:
    with pytest.raises(ExceedsVMClass, match=name) as refused:
        plan.plan_pod(make_pod(containers=[resources(**{name: amount})]), make_class())
    assert refused.value.reason == "ExceedsVMClass"


def test_exactly_what_the_class_has_fits() -> None:
    plan.plan_pod(make_pod(containers=[resources(cpu="2", memory="1Gi")]), make_class())


def test_requests_are_counted_as_the_scheduler_counts_them() -> None:
    sidecar = {**resources(cpu="100m", memory="10Mi"), "restartPolicy": "Always"}
    spec = {
        "containers": [resources(cpu="500m"), resources(cpu="250m", memory="100Mi")],
        "initContainers": [sidecar, resources(cpu="1", memory="10Mi")],
    }
    assert plan.effective_requests(spec) == {"cpu": 1100, "memory": 110 * MIB}


def test_a_request_of_the_pod_itself_and_overhead_count() -> None:
    spec = {
        "containers": [resources(memory="3Gi")],
        "resources": {"requests": {"memory": "1Gi"}},
        "overhead": {"memory": "1Gi"},
    }
    assert plan.effective_requests(spec)["memory"] == 2 * GIB


def test_every_field_of_a_pod_spec_is_somebodys() -> None:
    """A field that a new Kubernetes adds has to be thought about: it must not be ignored."""
    known = set(V1PodSpec.attribute_map.values())
    listed = [plan.SCHEDULERS, plan.GUESTS, plan.JUDGED_HERE]
    assert sum(map(len, listed)) == len(frozenset.union(*listed)), "a field is in two lists"
    assert known - frozenset.union(*listed) == set()
