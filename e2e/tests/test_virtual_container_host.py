"""A VirtualContainerHost as its admin sees it: what is wrong is named with the remedy, and it goes without a trace."""

from collections.abc import Iterator

import pytest

from e2e.lab import simulator
from e2e.lab.vch_operator import HOSTS, NAMESPACE
from e2e.tests.builders import make_pod, make_secret
from e2e.tests.kube import Kube, KubeObject, running
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VirtualMachines

NAME = "spare"
SECRET = "spare-login"


def make_host(lab: RunningLab, **spec: dict) -> KubeObject:
    """A second VCH, with parents and addresses of its own."""
    host = HOSTS["native"]
    whole: dict = {
        "vCenter": {
            "server": lab.simulator.address,
            "credentialsSecretRef": {"name": SECRET},
            "thumbprint": lab.simulator.thumbprint,
        },
        "placement": {
            "folder": f"{simulator.FOLDER}/{host.name}",
            "resourcePool": simulator.POOL,
        },
        "network": {"ranges": ["10.77.0.251-10.77.0.252"], "prefixLength": 24},
        "template": {"images": [host.image], "classes": [host.image]},
        "limits": {"cpu": "4", "memory": "8Gi", "pods": 4},
        "node": {"address": "127.0.0.9"},
    }
    for part, fields in spec.items():
        whole[part] = {**whole[part], **fields}
    return {
        "apiVersion": "vch.dev/v1alpha1",
        "kind": "VirtualContainerHost",
        "metadata": {"name": NAME},
        "spec": whole,
    }


def log_in(kube: Kube, password: str) -> None:
    kube.within(NAMESPACE).apply(make_secret(SECRET, username=simulator.USER, password=password))


def until(kube: Kube, condition: str, status: str, reason: str) -> str:
    """The message of a condition, as soon as it is so."""

    def so(host: KubeObject) -> bool:
        found = host.get("status", {}).get("conditions", [])
        return any((c["type"], c["status"], c["reason"]) == (condition, status, reason) for c in found)

    host = kube.until("virtualcontainerhost", NAME, so, timeout=120, what=f"{condition}={status} ({reason})")
    (message,) = [c["message"] for c in host["status"]["conditions"] if c["type"] == condition]
    return str(message)


@pytest.fixture(name="admin")
def _admin(kube: Kube) -> Iterator[Kube]:
    yield kube
    kube.run("delete", "virtualcontainerhost", NAME, "--ignore-not-found", "--timeout=120s")
    kube.run("delete", "secret", SECRET, "-n", NAMESPACE, "--ignore-not-found")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"vCenter": {"caBundleRef": {"name": "ca"}}}, "exclude each other"),
        ({"vCenter": {"server": "https://vcenter/sdk"}}, "without https"),
        ({"vCenter": {"thumbprint": "12:34"}}, "spec.vCenter.thumbprint"),
        ({"network": {"ranges": ["fe80::1"]}}, "first-last"),
        ({"network": {"ranges": []}}, "spec.network.ranges"),
        ({"limits": {"cpu": "many"}}, "spec.limits.cpu"),
    ],
)
def test_what_a_schema_can_tell_is_refused_at_once(admin: Kube, lab: RunningLab, spec: dict, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        admin.apply(make_host(lab, **spec))


def test_each_thing_that_is_missing_is_named_until_all_is_there(admin: Kube, lab: RunningLab) -> None:
    admin.apply(make_host(lab, template={"images": ["nobody"]}))
    assert "username and password" in until(admin, "CredentialsValid", "False", "SecretNotFound")
    log_in(admin, "wrong")
    until(admin, "CredentialsValid", "False", "InvalidLogin")
    log_in(admin, lab.simulator.password)
    assert HOSTS["native"].image in until(admin, "ImageReady", "False", "InvalidSpec"), "those that exist are named"
    admin.apply(make_host(lab, network={"ranges": ["10.77.0.251-10.77.0.252", "10.77.0.252"]}))
    assert "overlap" in until(admin, "PlacementResolved", "False", "InvalidSpec")
    admin.apply(make_host(lab))
    until(admin, "Ready", "True", "VCHReady")


def test_one_that_never_worked_can_be_deleted(admin: Kube, lab: RunningLab) -> None:
    admin.apply(make_host(lab))
    until(admin, "CredentialsValid", "False", "SecretNotFound")
    admin.run("delete", "virtualcontainerhost", NAME, "--timeout=60s", timeout=90)
    assert admin.get("node", NAME) is None


def test_deleting_it_ends_its_pods_its_vms_and_its_node(admin: Kube, lab: RunningLab, vms: VirtualMachines) -> None:
    log_in(admin, lab.simulator.password)
    admin.apply(make_host(lab))
    until(admin, "Ready", "True", "VCHReady")
    admin.apply(make_pod("guest", NAME))
    uid = admin.until("pod", "guest", running, timeout=120)["metadata"]["uid"]
    admin.run("delete", "virtualcontainerhost", NAME, "--timeout=120s", timeout=150)
    assert admin.get("pod", "guest") is None
    assert vms.of(uid) == []
    assert admin.get("node", NAME) is None
