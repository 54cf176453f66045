"""Standby clones: made ahead, bound to one Pod each, replaced; and what pulling, preloading and they make of a Pod's
start."""

import contextlib
import json
import re
import statistics
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from e2e.lab.vch_operator import HOSTS, METRICS
from e2e.tests import catalog
from e2e.tests.builders import BUSYBOX, make_container, make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, KubeObject, NeverHappened, container_status, running
from e2e.tests.running_lab import RunningLab
from e2e.tests.timing import bind_to_running
from e2e.tests.virtual_machines import VM, VirtualMachines

PULLED = "vch.dev/app:1"
WITHIN = 240


@dataclass(frozen=True, slots=True)
class Reserve:
    """The standby clones of a laboratory's VCH and class."""

    kube: Kube
    node: str
    vms: VirtualMachines
    before: frozenset[str] = frozenset()  # VMs of earlier Pods, which may not have gone yet

    def there(self) -> list[VM]:
        """Their VMs; one that is bound keeps its name."""
        found = (vm for vm in self.vms.all() if vm["name"].startswith(f"{self.node}-standby-"))
        return [vm for vm in found if vm["name"] not in self.before]

    def names(self) -> set[str]:
        return {vm["name"] for vm in self.there()}

    def counts(self) -> KubeObject:
        host = self.kube.get("virtualcontainerhost", self.node)
        assert host is not None
        counted: KubeObject = host["status"]["standby"]
        return counted

    def ready(self, count: int, **wanted: int) -> KubeObject:
        """The counts in the VCH's status, as soon as so many are ready (and the others are as wanted).

        The status is a few seconds behind, so that it may speak of those that have just gone; the metric never does.
        """
        until(lambda: clones(self.node)["ready"] == count, f"{count} standby clones ready by the metric")
        found = self.kube.until(
            "virtualcontainerhost",
            self.node,
            lambda host: {**host["status"]["standby"], "ready": count, **wanted} == host["status"]["standby"],
            timeout=WITHIN,
            what=f"{count} standby clones ready, {wanted}",
        )
        counted: KubeObject = found["status"]["standby"]
        return counted


@contextlib.contextmanager
def reserve_of(kube: Kube, vms: VirtualMachines, guest: str, count: int) -> Iterator[Reserve]:
    """So many standby clones are ready; at the end none is left."""
    host = HOSTS[guest]
    reserve = Reserve(kube, host.name, vms, frozenset(Reserve(kube, host.name, vms).names()))
    edit_class(kube, host.image, standby=count)
    try:
        reserve.ready(count)
        yield reserve
    finally:
        edit_class(kube, host.image, standby=0)
        reserve.ready(0)


def edit_class(kube: Kube, name: str, **spec: object) -> None:
    kube.run("patch", "podvmclass", name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")


def bound_vm(kube: Kube, pod: KubeObject) -> str:
    """The name of the standby VM that a Pod got, by its event; empty if one was cloned for it."""
    found = [event["message"] for event in kube.events(pod) if event["reason"] == "VirtualMachineBound"]
    return found[0].removeprefix("Bound standby VM ").split()[0] if found else ""


def run(kube: Kube, name: str, node: str) -> KubeObject:
    kube.apply(make_pod(name, node))
    return kube.until("pod", name, running, timeout=WITHIN)


@pytest.fixture(name="reserve")
def _reserve(kube: Kube, vms: VirtualMachines) -> Iterator[Reserve]:
    with reserve_of(kube, vms, "native", 1) as reserve:
        yield reserve


def test_a_standby_clone_serves_one_pod_and_is_replaced(reserve: Reserve) -> None:
    kube, node, before = reserve.kube, reserve.node, reserve.counts()
    (waiting,) = reserve.names()
    first = run(kube, "first", node)
    assert bound_vm(kube, first) == waiting
    assert kube.text("exec", "first", "--", "hostname").strip() == "first"
    reserve.ready(1, hits=before["hits"] + 1, misses=before["misses"])
    second = run(kube, "second", node)
    assert bound_vm(kube, second) not in ("", waiting)
    reserve.ready(1, hits=before["hits"] + 2)
    kube.delete("pod", "first")
    kube.gone("pod", "first", timeout=60)
    until(lambda: waiting not in reserve.names(), f"{waiting} is gone with its Pod")


def test_of_two_pods_at_once_one_gets_the_standby_clone(reserve: Reserve) -> None:
    kube, node, before = reserve.kube, reserve.node, reserve.counts()
    kube.apply(make_pod("one", node), make_pod("two", node))
    pods = [kube.until("pod", name, running, timeout=WITHIN) for name in ("one", "two")]
    assert len({pod["status"]["podIP"] for pod in pods}) == 2
    assert sorted(bool(bound_vm(kube, pod)) for pod in pods) == [False, True]
    reserve.ready(1, hits=before["hits"] + 1, misses=before["misses"] + 1)


def test_the_counts_are_metrics_too(reserve: Reserve) -> None:
    before, counted = reserve.counts(), metrics(reserve.node)
    run(reserve.kube, "counted", reserve.node)
    reserve.ready(1, hits=before["hits"] + 1)
    assert metrics(reserve.node)["hit"] == counted.get("hit", 0) + 1


def test_a_provider_that_starts_adopts_standby_clones(reserve: Reserve, lab: RunningLab) -> None:
    (waiting,), before = reserve.names(), reserve.counts()
    lab.kill_operator()
    lab.start_operator()
    time.sleep(5)  # for what it might destroy by mistake
    pod = run(reserve.kube, "after", reserve.node)
    assert bound_vm(reserve.kube, pod) == waiting
    reserve.ready(1, hits=before["hits"] + 1, misses=before["misses"])  # they go on from where they were


def test_outdated_standby_clones_are_destroyed(reserve: Reserve) -> None:
    kube, host = reserve.kube, HOSTS["native"]
    (old,) = reserve.names()
    ran = run(kube, "running", reserve.node)  # takes it; another one takes its place
    assert bound_vm(kube, ran) == old
    reserve.ready(1)
    (outdated,) = reserve.names() - {old}
    edit_class(kube, host.image, memory="2304Mi")
    try:
        until(lambda: outdated not in reserve.names(), f"the outdated {outdated} is destroyed")
        until(lambda: len(reserve.names() - {old}) == 1, "another one is there")
        reserve.ready(1)
        pod = run(kube, "larger", reserve.node)
        assert bound_vm(kube, pod)
        (vm,) = (vm for vm in reserve.there() if vm["name"] == bound_vm(kube, pod))
        assert vm["ramBytes"] == 2304 << 20
        assert container_status(kube.pod("running"))["restartCount"] == 0
    finally:
        edit_class(kube, host.image, memory=host.memory)
        catalog.parent(kube, host.name, host.image, host.image)


@pytest.mark.quiet
@pytest.mark.parametrize(("guest", "pods"), [("native", 10), ("qemu", 5)])
def test_bind_to_running_pulled_preloaded_and_standby(
    kube: Kube, vms: VirtualMachines, figures: Figures, guest: str, pods: int
) -> None:
    """One after the other, each on a machine that does nothing else of ours."""
    node = HOSTS[guest].name
    took = {"pulled (16 MiB)": [timed(kube, f"pulled-{n}", node, PULLED) for n in range(pods)]}
    took["preloaded"] = [timed(kube, f"preloaded-{n}", node, BUSYBOX) for n in range(pods)]
    with reserve_of(kube, vms, guest, 1) as reserve:
        hits, took["preloaded, standby"] = reserve.counts()["hits"], []
        for number in range(pods):
            reserve.ready(1, hits=hits + number)
            time.sleep(3)  # its kubelet has just begun
            took["preloaded, standby"].append(timed(kube, f"standby-{number}", node, BUSYBOX))
        reserve.ready(1, hits=hits + pods)
    for what, seconds in took.items():
        figures.note(
            f"bind to Running, {guest}, {pods} in a row: {what}",
            f"p50 {statistics.median(seconds):.2f} s, slowest {max(seconds):.2f} s",
        )


def timed(kube: Kube, name: str, node: str, image: str) -> float:
    took = bind_to_running(kube, make_pod(name, node, make_container(image=image)))
    kube.delete("pod", name, "--force", "--grace-period=0")
    return took


def until(condition: Callable[[], bool], what: str, *, timeout: float = WITHIN) -> None:
    """The simulator has no watch."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise NeverHappened(f"not within {timeout} s: {what}")
        time.sleep(0.2)


def metrics(node: str) -> dict[str, float]:
    """Hits and misses of a virtual node, as Prometheus reads them."""
    return scrape(rf'vch_standby_total{{result="(\w+)",vch="{node}"}}')


def clones(node: str) -> defaultdict[str, float]:
    """Standby clones of a virtual node that are wanted, and that are ready, as Prometheus reads them."""
    return defaultdict(float, scrape(rf'vch_standby_clones{{state="(\w+)",vch="{node}"}}'))


def scrape(sample: str) -> dict[str, float]:
    """The values of one metric, by the label that is the expression's group."""
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {label: float(number) for label, number in re.findall(rf"^{sample} (\S+)$", text, re.MULTILINE)}
