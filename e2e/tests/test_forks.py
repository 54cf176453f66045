"""A fork is its base with changes: Pods that choose it have them, Pods of the base have not, and what is not changed
stays shared in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.lab.vch_operator import HOSTS
from e2e.tests import catalog
from e2e.tests.builders import make_container, make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, KubeObject, condition, container_status, running
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VM, VirtualMachines

BASE = HOSTS["qemu"].image
FORK, BOOTED, CLASS = "qemu-fork", "qemu-booted", "forked"
SYSCTL, VALUE = "vm.max_map_count", "262999"
FILE = "/opt/vch-fork/motd"
PRELOADED = "vch.dev/tool:1"
PARAMETER = "vch.test=forked"
RUN_WITHIN = 180

FORKED = {
    "sysctls": {SYSCTL: VALUE, "net.core.somaxconn": "1777"},
    "kernelModules": ["dummy"],
    "files": [{"path": FILE, "content": "of the fork\n", "mode": "0600"}],
}


@dataclass(frozen=True, slots=True)
class Forks:
    """A VCH that offers a base, a fork, and a fork that has to boot."""

    kube: Kube
    node: str
    base_pod: KubeObject  # which ran before there was a fork

    def run(self, name: str, of: str = "", *, vm_class: str = "", **container: Any) -> KubeObject:
        """A Pod that runs, of an image or a class."""
        told = {"vch.dev/image": of, "vch.dev/vm-class": vm_class}
        pod = looking(name, self.node, **container)
        pod["metadata"]["annotations"] = {key: value for key, value in told.items() if value}
        self.kube.apply(pod)
        return self.kube.until("pod", name, running, timeout=RUN_WITHIN)

    def sees(self, pod: str, *command: str) -> str:
        done = self.kube.run("exec", pod, "--", *command, check=False)
        return done.stdout.decode() if done.returncode == 0 else ""


def looking(name: str, node: str, **container: Any) -> KubeObject:
    """A Pod that can see its VM's /opt and modules."""
    mounts = [{"name": "opt", "mountPath": "/vm/opt"}]
    volumes = [{"name": "opt", "hostPath": {"path": "/opt", "type": "DirectoryOrCreate"}}]
    return make_pod(name, node, make_container(volumeMounts=mounts, **container), volumes=volumes)


@pytest.fixture(name="forks", scope="module")
def _forks(lab: RunningLab, module_kube: Kube, qemu_node: str) -> Iterator[Forks]:
    module_kube.apply(looking("before", qemu_node))
    before = module_kube.until("pod", "before", running, timeout=RUN_WITHIN)
    things = [
        catalog.image(FORK, fork={"from": BASE, **FORKED}, preloadImages=[PRELOADED]),
        catalog.image(BOOTED, fork={"from": BASE, "kernelParameters": [PARAMETER]}),
        catalog.vm_class(CLASS, cpus=1, memory="640Mi", image=FORK),
    ]
    template = {"images": [BASE, FORK, BOOTED], "classes": [BASE, CLASS]}
    with catalog.offered(module_kube, qemu_node, things, template=template):
        catalog.parent(module_kube, qemu_node, FORK, BASE)
        yield Forks(module_kube, qemu_node, before)


def test_a_pod_that_names_a_fork_has_all_that_is_in_it(forks: Forks) -> None:
    forks.run("named", FORK)
    assert_forked(forks, "named")


def test_a_pod_of_a_class_with_an_image_has_that_image(forks: Forks) -> None:
    catalog.parent(forks.kube, forks.node, FORK, CLASS)
    forks.run("classed", vm_class=CLASS)
    assert_forked(forks, "classed")


def assert_forked(forks: Forks, pod: str) -> None:
    assert forks.sees(pod, "cat", f"/proc/sys/{SYSCTL.replace('.', '/')}").strip() == VALUE
    assert forks.sees(pod, "cat", "/proc/sys/net/core/somaxconn").strip() == "1777"
    assert "dummy" in forks.sees(pod, "cat", "/proc/modules").split()
    assert forks.sees(pod, "cat", f"/vm{FILE}") == "of the fork\n"
    assert "600" in forks.sees(pod, "stat", "-c", "%a", f"/vm{FILE}")


def test_a_preloaded_image_runs_without_a_pull(forks: Forks) -> None:
    pod = forks.run("preloaded", FORK, image=PRELOADED, imagePullPolicy="Never")
    assert container_status(pod)["image"] == PRELOADED
    assert "Pulling" not in {event["reason"] for event in forks.kube.events(pod)}


def test_pods_of_the_base_have_nothing_of_it(forks: Forks) -> None:
    forks.run("plain")
    for pod in ("before", "plain"):
        assert forks.sees(pod, "cat", f"/proc/sys/{SYSCTL.replace('.', '/')}").strip() != VALUE
        assert "dummy" not in forks.sees(pod, "cat", "/proc/modules").split()
        assert forks.sees(pod, "cat", f"/vm{FILE}") == ""


def test_a_pod_of_the_base_ran_on_while_its_parent_was_forked(forks: Forks, vms: VirtualMachines) -> None:
    now, then = forks.kube.pod("before"), forks.base_pod
    assert container_status(now)["restartCount"] == 0
    assert container_status(now)["containerID"] == container_status(then)["containerID"]
    assert container_status(now)["state"] == container_status(then)["state"]
    assert now["status"]["podIP"] == then["status"]["podIP"]
    (vm,) = vms.of(now["metadata"]["uid"])
    assert vm["state"] == "running"


def test_a_fork_holds_what_it_changed(forks: Forks, vms: VirtualMachines, figures: Figures) -> None:
    """The fork's memory beside its base's, and that of a Pod of each."""
    base, fork = (of_parent(forks, vms, image) for image in (BASE, FORK))
    changed = fork["changedBytes"]
    figures.note(
        "a fork's memory beside its base's (sysctls, a module, a file, 4 MiB of images)",
        f"{changed >> 20} MiB of {base['privateBytes'] >> 20} MiB ({changed / base['privateBytes']:.0%})",
    )
    pods = {name: forks.run(f"{name}-sized", image) for name, image in (("base", ""), ("fork", FORK))}
    private = {name: vms.of(pod["metadata"]["uid"])[0]["privateBytes"] for name, pod in pods.items()}
    for name, size in private.items():
        figures.note(f"  guest RAM private to a Pod of the {name}, which has just started", f"{size >> 20} MiB")
    assert 0 < changed < base["privateBytes"] / 2


def of_parent(forks: Forks, vms: VirtualMachines, image: str) -> VM:
    name = catalog.parent(forks.kube, forks.node, image, BASE)["status"]["vmName"]
    (vm,) = (vm for vm in vms.all() if vm["name"] == name)
    return vm


def test_a_fork_with_kernel_parameters_boots_once_and_says_that_sharing_is_lost(forks: Forks) -> None:
    catalog.parent(forks.kube, forks.node, BOOTED, BASE)
    forks.run("booted", BOOTED)
    assert PARAMETER in forks.sees("booted", "cat", "/proc/cmdline").split()
    assert PARAMETER not in forks.sees("before", "cat", "/proc/cmdline").split()
    assert status_of(forks, BOOTED)["sharesMemory"] is False
    assert status_of(forks, FORK)["sharesMemory"] is True


def status_of(forks: Forks, image: str) -> KubeObject:
    found = forks.kube.until("podvmimage", image, lambda thing: condition(thing, "Ready") == "True", timeout=30)
    status: KubeObject = found["status"]
    return status


def test_the_image_says_what_is_in_it(forks: Forks) -> None:
    fork, base = status_of(forks, FORK), status_of(forks, BASE)
    for field in ("osImage", "kernelVersion", "kubeletVersion", "containerRuntimeVersion", "agentVersion"):
        assert fork[field] == base[field]
        assert fork[field]
    assert fork["images"] == base["images"] + 1


def test_the_node_lists_what_is_preloaded(forks: Forks) -> None:
    def lists(node: KubeObject) -> bool:
        images = {name: image["sizeBytes"] for image in node["status"].get("images", ()) for name in image["names"]}
        return images.get(PRELOADED, 0) > 4 << 20 and "vch.dev/busybox:1" in images

    forks.kube.until("node", forks.node, lists, timeout=60, what=f"{PRELOADED} in its images")
