"""Pods of simulated guests, all at once: how many a second are Ready, and what that takes of the operator.

`python3 -m e2e.bench.simulated_burst [PODS]` brings a laboratory up if none is, prints figures and asserts nothing. The
guests only pretend: the figures are of the operator and the API server beside it, on this machine, and say nothing of
vSphere or of containers.
"""

import os
import sys
import time
from pathlib import Path

from e2e.lab import laboratory, netns, paths
from e2e.lab.state import State
from e2e.tests.kube import Kube, ready
from e2e.tests.running_lab import RunningLab
from e2e.tests.simulated_vch import simulated_pod, simulated_vch

_NAMESPACE = "simulated-burst"
_WITHIN = 600  # seconds


def main() -> None:
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    place = paths.here()
    was_up = State.load(place).running("operator") is not None
    lab = RunningLab(laboratory.up(place, guests=("native",)))
    kube = Kube(lab.kubectl, lab.kubeconfig, _NAMESPACE)
    kube.run("create", "namespace", _NAMESPACE)
    kube.run("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
    with netns.entered(place.namespace), simulated_vch(lab, kube, pods=pods + 10):
        _burst(lab, kube, pods)
        kube.run("delete", "namespace", _NAMESPACE, timeout=_WITHIN)
    if not was_up:
        laboratory.down(place)


def _burst(lab: RunningLab, kube: Kube, pods: int) -> None:
    operator = State.load(lab.laboratory.paths).running("operator")
    assert operator is not None
    names = {f"burst-{i}" for i in range(pods)}
    before, began = _cpu_seconds(operator.pid), time.monotonic()
    kube.apply(*(simulated_pod(name) for name in sorted(names)))
    applied = time.monotonic() - began
    for pod in kube.changes("pods", timeout=_WITHIN):
        if ready(pod):
            names.discard(pod["metadata"]["name"])
        if not names:
            break
    took, used = time.monotonic() - began, _cpu_seconds(operator.pid) - before
    print(
        f"{pods} Pods of simulated guests: {pods / took:.1f} Ready a second "
        f"({took:.1f} s; kubectl took {applied:.1f} s of it)"
    )
    print(f"operator: {used / pods * 1000:.1f} ms of CPU for each Pod, {_resident_mib(operator.pid):.0f} MiB resident")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


if __name__ == "__main__":
    main()
