"""A Pod in a pod VM behaves exactly like a Pod."""

import json

import pytest

from e2e.tests.builders import (
    FOREVER,
    field_env,
    make_config_map,
    make_container,
    make_job,
    make_pod,
    make_secret,
    secret_env,
)
from e2e.tests.kube import Kube, condition, container_status, in_phase, ready, running
from e2e.tests.virtual_machines import VirtualMachines

START = 120  # seconds; generous, a busy machine is no failure


def test_a_pod_is_ready_only_after_its_readiness_probe(kube: Kube, node: str) -> None:
    probe = {"exec": {"command": ["test", "-f", "/tmp/ready"]}, "periodSeconds": 1}
    kube.apply(make_pod("probed", node, make_container(readinessProbe=probe)))
    pod = kube.until("pod", "probed", running, timeout=START)
    assert condition(pod, "Ready") == "False"

    kube.run("exec", "probed", "--", "touch", "/tmp/ready")
    kube.until("pod", "probed", ready, timeout=30)


def test_a_failing_container_is_restarted_with_back_off(kube: Kube, node: str) -> None:
    kube.apply(make_pod("crasher", node, make_container(script="echo no; exit 3")))

    def backs_off(pod: dict) -> bool:
        status = container_status(pod)
        waiting = status.get("state", {}).get("waiting", {})
        return bool(status.get("restartCount", 0) >= 2 and waiting.get("reason") == "CrashLoopBackOff")

    pod = kube.until("pod", "crasher", backs_off, timeout=START)
    assert container_status(pod)["lastState"]["terminated"]["exitCode"] == 3


def test_a_failing_liveness_probe_restarts_the_container(kube: Kube, node: str) -> None:
    probe = {"exec": {"command": ["test", "!", "-f", "/tmp/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    kube.apply(make_pod("sick", node, make_container(livenessProbe=probe)))
    kube.until("pod", "sick", running, timeout=START)

    kube.run("exec", "sick", "--", "touch", "/tmp/sick")
    kube.until("pod", "sick", lambda pod: container_status(pod).get("restartCount") == 1, timeout=60)


def test_a_job_fails_with_its_real_exit_code(kube: Kube, node: str) -> None:
    kube.apply(make_job("fails", node, "exit 42"))
    kube.run("wait", "--for=condition=Failed", "job/fails", f"--timeout={START}s", timeout=START + 30)
    (pod,) = kube.objects("pods", "-l", "job-name=fails")
    assert pod["status"]["phase"] == "Failed"
    assert container_status(pod)["state"]["terminated"]["exitCode"] == 42


def test_a_config_map_change_reaches_the_mount(kube: Kube, node: str) -> None:
    kube.apply(make_config_map("settings", colour="red"))
    mount = {"name": "settings", "mountPath": "/settings"}
    volume = {"name": "settings", "configMap": {"name": "settings"}}
    container = make_container(
        script="while [ $(cat /settings/colour) = red ]; do sleep 1; done; echo changed; " + FOREVER,
        volumeMounts=[mount],
    )
    kube.apply(make_pod("reader", node, container, volumes=[volume]))
    kube.until("pod", "reader", running, timeout=START)

    kube.apply(make_config_map("settings", colour="blue"))
    following = kube.start("logs", "-f", "reader")
    try:
        assert following.stdout is not None
        # The kubelet's own bound is about a minute, the promise is 90 s.
        look = "for i in $(seq 90); do grep -q blue /settings/colour && exit 0; sleep 1; done; exit 1"
        kube.run("exec", "reader", "--", "sh", "-c", look, timeout=150)
        assert following.stdout.readline().strip() == b"changed"
    finally:
        following.kill()
        following.communicate()


def test_the_environment_comes_from_secrets_and_the_downward_api(kube: Kube, node: str) -> None:
    kube.apply(make_secret("password", word="s3cret with spaces"))
    environment = [
        secret_env("WORD", "password", "word"),
        field_env("IP", "status.podIP"),
        field_env("NAME", "metadata.name"),
        field_env("NODE", "spec.nodeName"),
        {"name": "GREETING", "value": "hello $(NAME)"},
    ]
    kube.apply(make_pod("informed", node, make_container(env=environment)))
    pod = kube.until("pod", "informed", running, timeout=START)
    printed = kube.text("exec", "informed", "--", "sh", "-c", 'echo "$WORD|$IP|$NAME|$NODE|$GREETING"').strip()
    assert printed == f"s3cret with spaces|{pod['status']['podIP']}|informed|{node}|hello informed"


def test_the_projected_token_is_the_service_accounts_and_bound_to_the_pod(kube: Kube, node: str) -> None:
    kube.apply(make_pod("tokened", node))
    pod = kube.until("pod", "tokened", running, timeout=START)
    token = kube.text("exec", "tokened", "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token").strip()
    review = kube.create({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}})[
        "status"
    ]
    assert review["authenticated"] is True
    assert review["user"]["username"] == f"system:serviceaccount:{kube.namespace}:default"
    assert review["user"]["extra"]["authentication.kubernetes.io/pod-uid"] == [pod["metadata"]["uid"]]


def test_init_containers_run_first_and_sidecars_stay(kube: Kube, node: str) -> None:
    shared = [{"name": "shared", "mountPath": "/shared"}]
    pod = make_pod(
        "ordered",
        node,
        make_container(script="echo main >> /shared/order; " + FOREVER, volumeMounts=shared),
        initContainers=[
            make_container("first", "echo first >> /shared/order", volumeMounts=shared),
            make_container(
                "sidecar", "echo sidecar >> /shared/order; " + FOREVER, volumeMounts=shared, restartPolicy="Always"
            ),
        ],
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    kube.apply(pod)
    seen = kube.until("pod", "ordered", ready, timeout=START)
    assert kube.text("exec", "ordered", "-c", "main", "--", "cat", "/shared/order").split() == [
        "first",
        "sidecar",
        "main",
    ]
    assert container_status(seen, "first")["state"]["terminated"]["exitCode"] == 0
    assert "running" in container_status(seen, "sidecar")["state"]


def test_the_stages_of_the_vm_are_events_on_the_pod(kube: Kube, node: str) -> None:
    kube.apply(make_pod("told", node))
    pod = kube.until("pod", "told", running, timeout=START)
    reasons = [event["reason"] for event in kube.events(pod)]
    for expected in ("Scheduled", "VirtualMachineCloned", "GuestReady", "Pulled", "Created", "Started"):
        assert expected in reasons, f"{expected} is missing in {reasons}"


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("spec.hostPID", {"hostPID": True}),
        ("spec.hostIPC", {"hostIPC": True}),
        ("spec.hostNetwork", {"hostNetwork": True}),
        (
            "spec.containers[0].ports[0].hostPort",
            {"containers": [make_container(ports=[{"containerPort": 80, "hostPort": 8080}])]},
        ),
        ("spec.volumes[0].hostPath", {"volumes": [{"name": "etc", "hostPath": {"path": "/etc"}}]}),
        (
            "spec.containers[*].resources.requests.memory",
            {"containers": [make_container(resources={"requests": {"memory": "6Gi"}, "limits": {"memory": "6Gi"}})]},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_honoured_is_refused_before_a_vm_exists(
    kube: Kube, node: str, vms: VirtualMachines, field: str, spec: dict
) -> None:
    # Bound by name, so that what the scheduler would filter reaches the node too.
    pod = make_pod("refused", node, **spec)
    pod["spec"]["nodeName"] = node
    kube.apply(pod)
    seen = kube.until("pod", "refused", in_phase("Failed"), timeout=30)
    assert seen["status"]["reason"] in ("UnsupportedPodSpec", "ExceedsVMClass")
    assert field in seen["status"]["message"]
    assert vms.of(seen["metadata"]["uid"]) == []
    assert seen["status"]["reason"] in [event["reason"] for event in kube.events(seen)]


def test_the_pods_spec_is_left_as_the_user_wrote_it(kube: Kube, node: str) -> None:
    (before,) = kube.apply(make_pod("untouched", node))
    after = kube.until("pod", "untouched", running, timeout=START)
    assert "hostNetwork" not in after["spec"]
    assert after["metadata"].get("finalizers") is None
    assert after["metadata"].get("annotations", {}).keys() == before["metadata"].get("annotations", {}).keys(), (
        json.dumps(after["metadata"])
    )
