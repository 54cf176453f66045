"""Forks of native guests, which have no kernel of their own: what is possible is done, what is not is named."""

from collections.abc import Iterator

import pytest

from e2e.lab.vch_operator import HOSTS
from e2e.tests import catalog
from e2e.tests.builders import make_container, make_pod
from e2e.tests.kube import Kube, KubeObject, container_status, running

BASE = HOSTS["native"].image
FORK, WRONG = "native-fork", "native-wrong"
PRELOADED = "vch.dev/tool:1"
FORKED = {
    "sysctls": {"net.core.somaxconn": "1777"},
    "files": [{"path": "/opt/vch-fork/motd", "content": "of the fork\n"}],
}


@pytest.fixture(name="forked", scope="module")
def _forked(module_kube: Kube, node: str) -> Iterator[Kube]:
    things = [
        catalog.image(FORK, fork={"from": BASE, **FORKED}, preloadImages=[PRELOADED]),
        catalog.image(WRONG, fork={"from": BASE, "kernelModules": ["dummy"]}),
    ]
    with catalog.offered(module_kube, node, things, template={"images": [BASE, FORK, WRONG], "classes": [BASE]}):
        yield module_kube


def test_sysctls_of_its_network_files_and_images_are_the_forks(forked: Kube, node: str) -> None:
    catalog.parent(forked, node, FORK, BASE)
    for name, image in (("plain", BASE), ("forked", FORK)):
        pod = looking(name, node, image)
        forked.apply(pod)
        forked.until("pod", name, running, timeout=120)
    assert sees(forked, "forked") == ("1777", "of the fork\n")
    assert sees(forked, "plain")[0] != "1777"
    assert sees(forked, "plain")[1] == ""
    forked.apply(looking("preloaded", node, FORK, image=PRELOADED, imagePullPolicy="Never"))
    pod = forked.until("pod", "preloaded", running, timeout=120)
    assert container_status(pod)["image"] == PRELOADED


def test_what_it_cannot_have_is_named(forked: Kube, node: str) -> None:
    def names_it(thing: KubeObject) -> bool:
        (ready,) = (thing.get("status") or {}).get("conditions") or [{"status": "", "message": ""}]
        return ready["status"] == "False" and "setup.kernelModules" in ready["message"]

    forked.until("podvmimage", WRONG, names_it, timeout=120, what="setup.kernelModules is named")
    forked.apply(looking("waiting", node, WRONG))
    forked.until_one("event", tells, timeout=60, what="an event says why the Pod waits")


def looking(name: str, node: str, of: str, **container: object) -> KubeObject:
    """A Pod of an image that can see its VM's /opt."""
    mounts = [{"name": "opt", "mountPath": "/vm/opt"}]
    volumes = [{"name": "opt", "hostPath": {"path": "/opt", "type": "DirectoryOrCreate"}}]
    main = {**make_container(volumeMounts=mounts), **container}
    pod = make_pod(name, node, main, volumes=volumes)
    pod["metadata"]["annotations"] = {"vch.dev/image": of}
    return pod


def sees(kube: Kube, pod: str) -> tuple[str, str]:
    texts = [
        kube.run("exec", pod, "--", "cat", path, check=False).stdout.decode()
        for path in ("/proc/sys/net/core/somaxconn", "/vm/opt/vch-fork/motd")
    ]
    return texts[0].strip(), texts[1]


def tells(event: KubeObject) -> bool:
    return event["involvedObject"]["name"] == "waiting" and "setup.kernelModules" in event["message"]
