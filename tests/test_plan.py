"""A Pod is planned, or refused with the field that cannot be honoured; nothing is silently ignored."""

import pytest
from kubernetes.client import V1PodSpec

from provider import plan
from provider.errors import ExceedsVMClass, NamespaceNotListed, UnsupportedPod
from provider.podvm import PodVMClass
from tests.builders import GIB, UID, make_container, make_offer, make_pod, make_vm_class

MIB = 2**20


def resources(**requests: str) -> dict:
    return make_container(resources={"requests": requests})


def test_a_pod_becomes_a_vm_that_is_named_after_it() -> None:
    planned = plan.plan_pod(make_pod("web"), make_offer())
    assert planned.vm_name == "web-0a1b2c3d11"
    assert planned.hostname == "web"
    assert planned.uid == UID


def test_where_each_namespace_has_its_own_network_pods_of_others_are_refused() -> None:
    assert plan.plan_pod(make_pod("web"), make_offer(namespaces=frozenset({"default", "other"})))
    with pytest.raises(
        NamespaceNotListed, match=r"the namespace default has no network .*spec\.podNetwork\.namespaces"
    ):
        plan.plan_pod(make_pod("web"), make_offer(namespaces=frozenset({"other"})))


def test_a_vm_name_is_shorter_than_vsphere_allows_and_ends_with_the_uid() -> None:
    name = plan.vm_name("x" * 253, UID)
    assert len(name) == 79
    assert name.endswith("-0a1b2c3d11")


def test_two_pods_of_one_name_have_vms_of_two_names() -> None:
    assert plan.vm_name("web", UID) != plan.vm_name("web", "f" + UID[1:])


@pytest.mark.parametrize(
    ("spec", "hostname"),
    [
        ({}, "web"),
        ({"hostname": "front"}, "front"),
        ({"hostname": "front", "hostnameOverride": "over.example"}, "over.example"),
        ({"hostname": "x" * 70}, "x" * 63),
        ({"hostname": "x" * 62 + "-y"}, "x" * 62),
        ({"hostname": ""}, "web"),
    ],
)
def test_a_vm_is_called_as_a_kubelet_calls_the_pod(spec: dict, hostname: str) -> None:
    assert plan.plan_pod(make_pod("web", **spec), make_offer()).hostname == hostname


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
        (
            "spec.containers[1].resources.limits[hugepages-2Mi]",
            {"containers": [make_container(), make_container(resources={"limits": {"hugepages-2Mi": "2Mi"}})]},
        ),
        (
            "spec.containers[0].resources.claims",
            {"containers": [make_container(resources={"claims": [{"name": "gpu"}]})]},
        ),
        ("spec.resources.requests[hugepages-2Mi]", {"resources": {"requests": {"hugepages-2Mi": "2Mi"}}}),
        (
            "spec.ephemeralContainers[0].ports[1].hostPort",
            {"ephemeralContainers": [make_container(ports=[{"containerPort": 1}, {"hostPort": 2}])]},
        ),
        ("spec.volumes[0].image", {"volumes": [{"name": "v", "image": {"reference": "x"}}]}),
        ("spec.volumes[0].csi", {"volumes": [{"name": "v", "configMap": None, "csi": {"driver": "x"}}]}),
    ],
)
def test_what_no_pod_vm_can_honour_is_refused_by_its_field(field: str, spec: dict) -> None:
    with pytest.raises(UnsupportedPod) as refused:
        plan.plan_pod(make_pod(**spec), make_offer())
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
        {"securityContext": {"sysctls": [{"name": "kernel.shm_rmid_forced"}, {"name": "net.core.somaxconn"}]}},
        {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]},
        {"volumes": [{"name": "v", "emptyDir": None}]},
        {"containers": [make_container(resources={"limits": {"nvidia.com/gpu": "0"}})]},
        {"containers": [make_container(resources={"requests": {"ephemeral-storage": "900Gi"}})]},
        {"containers": [make_container(ports=[{"containerPort": 80}])]},
        {"tolerations": [{"operator": "Exists"}]},
    ],
)
def test_what_the_guest_can_do_is_let_through(spec: dict) -> None:
    plan.plan_pod(make_pod(**spec), make_offer())


def test_a_pod_has_its_full_name_where_the_clusters_domain_is_known() -> None:
    plan.plan_pod(make_pod(setHostnameAsFQDN=True), make_offer(cluster_domain="cluster.local"))
    with pytest.raises(UnsupportedPod, match=r"no spec\.network\.clusterDNS"):
        plan.plan_pod(make_pod(setHostnameAsFQDN=True), make_offer())


@pytest.mark.parametrize("kind", sorted(plan.GUEST_VOLUMES - {"projected"}))
def test_volumes_made_of_what_is_fed_are_let_through(kind: str) -> None:
    plan.plan_pod(make_pod(volumes=[{"name": "v", kind: {}}]), make_offer())


@pytest.mark.parametrize("path", [*plan.GUEST_PATHS, *(f"{path}/below" for path in plan.GUEST_PATHS)])
def test_paths_of_the_vm_itself_are_let_through(path: str) -> None:
    plan.plan_pod(make_pod(volumes=[{"name": "v", "hostPath": {"path": path}}]), make_offer())


def test_a_daemon_set_that_tolerates_everything_is_refused_with_the_remedy() -> None:
    pod = make_pod(tolerations=[{"operator": "Exists"}])
    pod["metadata"]["ownerReferences"] = [{"kind": "DaemonSet"}]
    with pytest.raises(UnsupportedPod, match="affinity"):
        plan.plan_pod(pod, make_offer())
    pod["spec"]["tolerations"] = [{"operator": "Exists", "key": "virtual-kubelet.io/provider"}]
    plan.plan_pod(pod, make_offer())


@pytest.mark.parametrize(("name", "amount"), [("cpu", "2001m"), ("memory", "1025Mi")])
def test_more_than_the_class_has_is_refused(name: str, amount: str) -> None:
    with pytest.raises(ExceedsVMClass, match=name) as refused:
        plan.plan_pod(make_pod(containers=[resources(**{name: amount})]), make_offer())
    assert refused.value.reason == "ExceedsVMClass"


def test_exactly_what_the_class_has_fits() -> None:
    plan.plan_pod(make_pod(containers=[resources(cpu="2", memory="1Gi")]), make_offer())


def test_requests_are_counted_as_the_scheduler_counts_them() -> None:
    sidecar = {**resources(cpu="100m", memory="10Mi"), "restartPolicy": "Always"}
    spec = {
        "containers": [resources(cpu="500m"), resources(cpu="250m", memory="100Mi")],
        "initContainers": [sidecar, resources(cpu="1", memory="10Mi")],
    }
    assert plan.effective_requests(spec) == {"cpu": 1100, "memory": 110 * MIB}


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({}, 0),
        ({"containers": [make_container(resources={"limits": {"cpu": "1"}})]}, 1000),
        ({"containers": [make_container(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "0"}})]}, 0),
        ({"containers": [resources(cpu="0.1")], "initContainers": [resources(cpu="2"), resources(cpu="1")]}, 2000),
        # A sidecar runs beside the init containers after it, not those before it.
        (
            {
                "containers": [resources(cpu="0.1")],
                "initContainers": [resources(cpu="2"), {**resources(cpu="1"), "restartPolicy": "Always"}],
            },
            2000,
        ),
        (
            {
                "containers": [resources(cpu="0.1")],
                "initContainers": [{**resources(cpu="1"), "restartPolicy": "Always"}, resources(cpu="2")],
            },
            3000,
        ),
        ({"containers": [resources(cpu="1")], "ephemeralContainers": [resources(cpu="5")]}, 1000),
    ],
)
def test_what_runs_at_a_time_is_what_counts(spec: dict, cpu: int) -> None:
    assert plan.effective_requests(spec)["cpu"] == cpu


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


def test_the_overhead_of_a_runtime_class_and_of_the_class_do_not_count_twice() -> None:
    small = make_vm_class("small", cpus=1, memory_mib=1024, overhead=PodVMClass(0, 192 * MIB))
    large = make_vm_class("large", cpus=1, memory_mib=4096, overhead=PodVMClass(0, 192 * MIB))
    fitting = make_pod(containers=[resources(memory="832Mi")], overhead={"memory": "192Mi"})
    assert plan.plan_pod(fitting, make_offer(small, large)).vm_class == small
    heavy = make_pod(containers=[resources(memory="832Mi")], overhead={"memory": "256Mi"})
    assert plan.plan_pod(heavy, make_offer(small, large)).vm_class == large
    assert plan.effective_requests(fitting["spec"])["memory"] == 1024 * MIB, "the scheduler counts it"
