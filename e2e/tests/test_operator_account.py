"""The operator of the laboratory has the account and the rights of the chart: each of them is needed, and none missing.

That every right is needed is shown from what the API server has recorded: of each, there is a request of the operator's
that no other right would have allowed. With what runs before, this test makes the operator do all that it ever does.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.lab import chart, kubectl
from e2e.lab.pki import Authority
from e2e.lab.vch_operator import HOSTS, NAMESPACE, made
from e2e.tests.account_rights import Right, granted, missing, needed, refused, unused
from e2e.tests.builders import make_config_map, make_container, make_pod, make_secret
from e2e.tests.kube import Kube, ready, running
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.test_authorization import KubeletAPI

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{chart.RELEASE}"
START = 120
SPARE = "account-spare"


@pytest.fixture(name="vch", scope="module")
def _vch(lab: RunningLab, module_kube: Kube) -> Iterator[OwnVCH]:
    """Its guests trust a CA that a ConfigMap of the operator's namespace has; it has a class that can be taken away."""
    vch = OwnVCH(lab, module_kube, "account", address=None)
    ca = Authority(lab.laboratory.paths.pki).certificate.read_text()
    module_kube.within(NAMESPACE).apply(make_config_map("account-ca", **{"ca.crt": ca}))
    module_kube.apply(made("PodVMClass", SPARE, {"cpus": 1, "memory": "512Mi", "overhead": {"memory": "192Mi"}}))
    vch.create(**_spec(HOSTS["native"].image, SPARE))
    vch.ready(timeout=START)
    yield vch
    vch.delete()
    module_kube.delete("podvmclass", SPARE)


def _spec(*classes: str) -> dict[str, Any]:
    """One host is enough here."""
    return {
        "registries": {"caBundleRef": {"kind": "ConfigMap", "name": "account-ca", "key": "ca.crt"}},
        "placement": {"hosts": ["DC0_C0_H0"]},
        "template": {"classes": list(classes)},
    }


@pytest.fixture(name="rights", scope="module")
def _rights(lab: RunningLab) -> list[Right]:
    """As they are in the cluster."""

    def role(*which: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(kubectl.run(lab.laboratory.paths, "get", *which, "--output=json"))
        return found

    everywhere = f"{NAMESPACE}:{chart.RELEASE}"
    return granted(
        [
            role("clusterrole", everywhere),
            role("role", chart.RELEASE, f"--namespace={NAMESPACE}"),
            role("role", everywhere, "--namespace=kube-node-lease"),
        ]
    )


def test_every_right_of_the_chart_is_needed_and_none_is_missing(
    lab: RunningLab, kube: Kube, vch: OwnVCH, rights: list[Right]
) -> None:
    _work(lab, kube, vch)
    needs = needed(lab.audit_log, ACCOUNT)
    assert [str(right) for right in missing(rights, needs)] == []
    assert [str(right) for right in sorted(refused(lab.audit_log, ACCOUNT))] == []
    assert [str(right) for right in unused(rights, needs)] == []


def test_without_a_right_the_api_server_refuses(lab: RunningLab, rights: list[Right]) -> None:
    """What the operator may, by the API server's word: its rights, and nothing that is beside them."""
    asked = [
        *((right, "yes") for right in rights if right.verb in ("get", "list", "delete") and right.group == ""),
        (Right("list", "", "secrets", NAMESPACE), "no"),
        (Right("get", "", "secrets", "default", "any"), "no"),
        (Right("create", "", "pods", "default"), "no"),
        (Right("impersonate", "", "users", "", "system:kube-controller-manager"), "no"),
        (Right("update", "coordination.k8s.io", "leases", "kube-node-lease"), "no"),
    ]
    assert {str(right): _may(lab, right) for right, _ in asked} == {str(right): answer for right, answer in asked}


def test_the_chart_s_check_is_content_with_the_laboratory(lab: RunningLab, kube: Kube) -> None:
    kube.run("wait", "--for=condition=Ready", "virtualcontainerhosts", "--all", "--timeout=60s")
    done = _command(lab, "check", "--timeout=0")
    assert (done.returncode, done.stderr) == (0, "The kinds are served, and every VirtualContainerHost is Ready.\n")


def test_uninstalling_is_refused_while_there_are_hosts(lab: RunningLab) -> None:
    done = _command(lab, "uninstall", "--policy=refuse")
    assert done.returncode == 1
    assert lab.node("native") in done.stderr


def _work(lab: RunningLab, kube: Kube, vch: OwnVCH) -> None:
    """A Pod by the chart's RuntimeClass, with all that a Pod can name, asked for by a token; then the end of all."""
    peers = [{"namespaceSelector": {"matchLabels": {"team": "a"}}, "podSelector": {"matchLabels": {"app": "a"}}}]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "some"},
        "spec": {"podSelector": {}, "ingress": [{"from": peers}]},
    }
    never = {"exec": {"command": ["false"]}, "periodSeconds": 1}  # the kubelet says so again and again
    sources = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "password"}}]
    kube.apply(policy, make_config_map("settings", a="b"), make_secret("password", c="d"))
    kube.apply(
        make_pod(
            *("worker", vch.name, make_container(envFrom=sources), make_container("never", readinessProbe=never)),
            runtimeClassName="vch",
            tolerations=[],  # the RuntimeClass's
        )
    )
    pod = kube.until("pod", "worker", running, timeout=START)
    assert pod["spec"]["overhead"] == {"memory": "192Mi"}
    unhealthy = kube.until_one(
        "event",
        lambda event: event["reason"] == "Unhealthy" and event.get("count", 1) > 1,
        timeout=60,
        what="a second failure of the probe",
    )
    assert unhealthy["involvedObject"]["name"] == "worker"
    token = kube.text("create", "token", "default").strip()
    assert _asked(KubeletAPI(kube.node_address(vch.name)), token) == 403
    kube.apply(make_pod("short", lab.node("native")))
    kube.until("pod", "short", ready, timeout=START)
    kube.delete("pod", "short")
    kube.delete("pod", "worker")
    (spare,) = (each["metadata"]["name"] for each in vch.parents() if each["spec"]["class"] == SPARE)
    vch.apply(**_spec(HOSTS["native"].image))
    kube.gone("parentvm", spare, timeout=60)
    lab.operator.stop()  # politely: it gives its Leases back
    lab.start_operator()
    vch.ready(timeout=60)
    vch.delete()


def _asked(node: KubeletAPI, token: str) -> int:
    """As soon as the node's Service leads there: kube-proxy takes half a minute to start, and tells nobody."""
    deadline = time.monotonic() + START
    while True:
        try:
            return node.ask("GET", "/pods", token)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _may(lab: RunningLab, right: Right) -> str:
    resource, _, subresource = right.resource.partition("/")
    attributes = {
        "verb": right.verb,
        "group": right.group,
        "resource": resource,
        "subresource": subresource,
        "namespace": right.namespace,
        "name": right.name,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "resourceAttributes": attributes},
    }
    paths = lab.laboratory.paths
    answer = json.loads(kubectl.run(paths, "create", "--filename=-", "--output=json", stdin=json.dumps(review)))
    return "yes" if answer["status"]["allowed"] else "no"


def _command(lab: RunningLab, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As the hook's container runs it: with the hook's own account."""
    paths = lab.laboratory.paths
    kubeconfig = paths.run / f"{arguments[0]}.kubeconfig"
    chart.write_kubeconfig(paths, kubeconfig, f"{chart.RELEASE}-{arguments[0]}")
    argv = [str(lab.operator.python), "-m", "provider", *arguments, f"--kubeconfig={kubeconfig}"]
    return subprocess.run(argv, cwd=paths.checkout, capture_output=True, text=True, check=False)
