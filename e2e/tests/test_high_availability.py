"""Two replicas share two VCHs while the holder is killed, paused and resumed: nothing is made or written twice.

Judged at the end, from what the API server and vCenter have written down themselves (the audit log, vSphere's events),
not by looking now and then.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest

from e2e.lab.vch_operator import HOSTS
from e2e.tests import audit_log, replicas
from e2e.tests.audit_log import Write
from e2e.tests.builders import make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, KubeObject, container_status, ready
from e2e.tests.replicas import Replicas
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VirtualMachines

pytestmark = pytest.mark.quiet  # how long a take-over lasts is a figure, and a Lease may run out on a busy machine

SECOND = replace(
    HOSTS["native"],
    name="vch-second",
    address="127.0.0.10",
    guests="10.77.0.206-10.77.0.230",
    pods="10.78.0.206-10.78.0.230",
)
TAKEOVER = 30
START = 90
ROUNDS = 7
"""Four times the holder is killed, three times it is paused and resumed."""
LONG_PAUSE = 5
PAUSED = 60
"""One of the pauses lasts as many seconds."""
ORPHANED = 100
"""Seconds until a VM is gone whose Pod went just before its operator did: two passes of the collector."""


@pytest.fixture(name="second")
def _second(lab: RunningLab, kube: Kube) -> Iterator[str]:
    """Another VCH with native guests."""
    lab.operator.apply_host(SECOND, lab.simulator)
    lab.operator.wait_ready(SECOND)
    yield SECOND.name
    kube.run("delete", "virtualcontainerhost", SECOND.name, "--timeout=120s")
    assert kube.get("node", SECOND.name) is None, "the Node goes with its VCH"


class Churn:
    """Pods that come and go on both nodes, three in each round. Their names begin with their node's."""

    def __init__(self, kube: Kube, nodes: tuple[str, str]) -> None:
        self._kube = kube
        self._nodes = nodes
        self.pods: dict[str, str] = {}  # UIDs by name
        self.ended: list[KubeObject] = []  # as they were before they were deleted
        self._fresh: list[str] = []
        self._old: list[str] = []

    def turn(self, number: int) -> None:
        """Three are made, and three that are Ready are deleted."""
        nodes = (*self._nodes, self._nodes[number % 2])
        made = [make_pod(f"{node}-{number}-{index}", node) for index, node in enumerate(nodes)]
        self.pods |= {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self._kube.apply(*made)}
        for name in self._old:
            self.ended.append(self._kube.pod(name))
            self._kube.delete("pod", name)
        self._old, self._fresh = self._fresh, [pod["metadata"]["name"] for pod in made]

    def until_ready(self) -> None:
        for name in self._fresh:
            self._kube.until("pod", name, ready, timeout=START)

    def end(self, vms: VirtualMachines) -> None:
        for name in (*self._old, *self._fresh):
            self.ended.append(self._kube.until("pod", name, ready, timeout=START))
            self._kube.delete("pod", name)
        for name, uid in self.pods.items():
            self._kube.gone("pod", name, timeout=START, uid=uid)
            vms.gone(uid, timeout=ORPHANED)


def test_replicas_are_killed_and_paused(
    lab: RunningLab, kube: Kube, vms: VirtualMachines, node: str, second: str, figures: Figures
) -> None:
    vchs, began = (node, second), replicas.now()
    churn = Churn(kube, vchs)
    disturbed: list[tuple[datetime, str]] = []
    with replicas.two(lab, kube) as running:
        running.until_held_by({"left", "right"}, vchs, timeout=TAKEOVER)
        _end_in_peace(running, vchs, figures)
        for number in range(ROUNDS):
            churn.turn(number)
            _disturb(running, vchs, number, disturbed)
            churn.until_ready()
        churn.end(vms)

    writes = audit_log.writes(lab.audit_log, since=began)
    held = {vch: audit_log.tenures(writes, f"vch-{vch}") for vch in vchs}
    late = [str(w) for vch in vchs for w in audit_log.outside(_writes_for(writes, vch, kube.namespace), held[vch])]
    assert late == [], "a replica wrote for a VCH that was another one's"
    gaps = _gaps(disturbed, held)
    assert max(gaps) <= TAKEOVER
    assert not _duplicates(lab, churn.pods), "a Pod had two VMs at once"
    assert [container_status(pod)["restartCount"] for pod in churn.ended] == [0] * ROUNDS * 3
    figures.note(
        f"a VCH taken over after a crash or a pause ({len(gaps)} times)", f"{min(gaps):.1f} to {max(gaps):.1f} s"
    )


def _disturb(running: Replicas, vchs: tuple[str, str], number: int, disturbed: list[tuple[datetime, str]]) -> None:
    """The holder of one VCH, in turn, is killed or paused until the other replica holds both."""
    place = running.place_of(vchs[number // 2 % 2])
    other = {"left": "right", "right": "left"}[place]
    disturbed.append((replicas.now(), running.names[place]))
    if number % 2 == 0:
        running.kill(place)
        running.until_held_by({other}, vchs, timeout=TAKEOVER + 5)
        running.start(place)
    else:
        running.pause(place)
        paused = time.monotonic()
        running.until_held_by({other}, vchs, timeout=TAKEOVER + 5)
        if number == LONG_PAUSE:
            # Its connections, tokens and time-outs are long over when it wakes up; it still must not write.
            time.sleep(max(0.0, PAUSED - (time.monotonic() - paused)))
        running.resume(place)


def _end_in_peace(running: Replicas, vchs: tuple[str, str], figures: Figures) -> None:
    """The holder is ended as a Deployment ends it: it gives its Leases back, and nobody waits for them to run out."""
    place = running.place_of(vchs[0])
    other = {"left": "right", "right": "left"}[place]
    held = [vch for vch in vchs if running.holder(vch) == running.names[place]]
    before, asked = len(running.log(place)), replicas.now()
    running.stop(place)
    running.until_held_by({other}, vchs, timeout=TAKEOVER)
    released = [line for line in running.log(place)[before:].splitlines() if "the Lease is released" in line]
    assert {vch for vch in held if not any(f"node={vch} " in line for line in released)} == set()
    figures.note("a VCH taken over after a graceful end", f"{(replicas.now() - asked).total_seconds():.1f} s")
    running.start(place)


def _writes_for(writes: list[Write], vch: str, namespace: str) -> list[Write]:
    """What was written for a VCH: its Node and status, its Node's Lease, and its Pods of this test."""
    return [
        write
        for write in writes
        if (write.namespace == namespace and write.name.startswith(f"{vch}-"))
        or (write.namespace in ("", "kube-node-lease") and write.name == vch)
        or write.user == f"system:node:{vch}"
    ]


def _gaps(disturbed: list[tuple[datetime, str]], held: dict[str, list[audit_log.Tenure]]) -> list[float]:
    """Seconds from each crash or pause until the next replica held what that one had held."""
    gaps = []
    for when, replica in disturbed:
        for tenures in held.values():
            ends = [t.end.answered for t in tenures if t.replica == replica and t.end and t.end.answered > when]
            gaps += [(end - when).total_seconds() for end in ends[:1]]
    return gaps


def _duplicates(lab: RunningLab, pods: dict[str, str]) -> list[str]:
    """VMs that were made while the Pod had one already, by vCenter's own events, which are in order."""
    alive: Counter[str] = Counter()
    twice = []
    endings = {uid.replace("-", "")[:10] for uid in pods.values()}
    for message in _messages(lab.govc("events", "-json", "-n", "1000")):
        words = message.split()
        if message.startswith("Created virtual machine ") and words[3][-10:] in endings:
            alive[words[3]] += 1
            twice += [words[3]] if alive[words[3]] > 1 else []
        elif message.startswith("Removed ") and words[1][-10:] in endings:
            alive[words[1]] -= 1
    assert len(alive) == len(pods), "vCenter has forgotten events, or a Pod never had a VM"
    assert set(alive.values()) == {0}, "a VM was never removed"
    return twice


def _messages(text: str) -> Iterator[str]:
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        event, end = decoder.raw_decode(text)
        yield event["message"]
        text = text[end:]
