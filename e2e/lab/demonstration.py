"""`make demo`: ordinary manifests, applied to a running laboratory, and a table of what became of them."""

from pathlib import Path
from typing import Any

from e2e.lab import kubectl, progress, status, timeline
from e2e.lab.laboratory import Laboratory
from e2e.lab.simulator import Simulator
from e2e.lab.timeline import PodTimes, Timeline

NAMESPACE = "demo"
MANIFESTS = Path(__file__).resolve().parents[1] / "demo"
_PODS = 5  # three of the Deployment, one on its own, one of the Job
_SECONDS = 600


def run(laboratory: Laboratory) -> None:
    """Applies `e2e/demo/*.yaml` anew, waits until every Pod is as far as it can get, and shows them."""
    paths = laboratory.paths
    assert laboratory.simulator is not None
    with progress.step("Removing the Pods of an earlier demonstration", quiet_under=1):
        kubectl.run(paths, "delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=120s")
    kubectl.run(paths, "create", "namespace", NAMESPACE)
    with progress.step("Pods from e2e/demo, each in a VM of its own"), Timeline(paths, NAMESPACE) as seen:
        kubectl.run(paths, "-n", NAMESPACE, "apply", "--filename", str(MANIFESTS))
        seen.wait(_all_there, timeout=_SECONDS)
        rows = [_row(uid, times, laboratory.simulator) for uid, times in seen.pods.items()]
    progress.say("\n" + table([_HEADER, *sorted(rows)]))
    progress.say("Times are seconds after the Pod was bound to its node, as a watch saw them.")
    progress.say("Guests are QEMU VMs of the simulator: the times say nothing about vSphere's own.")
    progress.say("\nWhat the Pod `everything` says:")
    said = kubectl.run(paths, "-n", NAMESPACE, "logs", "everything", "--container=main")
    progress.say("\n".join(f"  | {line}" for line in said.splitlines()))
    progress.say(status.how_to_go_on(paths))


_HEADER = ("POD", "STATUS", "NODE", "VM", "IP", "CLONED", "GUEST", "RUNNING", "READY")


def _all_there(pods: dict[str, PodTimes]) -> bool:
    finished = [times for times in pods.values() if timeline.READY in times.seen or timeline.ENDED in times.seen]
    return len(finished) >= _PODS


def _row(uid: str, times: PodTimes, simulator: Simulator) -> tuple[str, ...]:
    pod = times.pod
    running = times.after_binding(timeline.RUNNING)
    return (
        pod["metadata"]["name"],
        _status(pod),
        pod["spec"].get("nodeName", "-"),
        _vm(uid, simulator),
        pod["status"].get("podIP", "-"),
        _seconds(times.after_binding(timeline.CLONED)),
        _seconds(times.after_binding(timeline.GUEST_READY)),
        _seconds(running if running is not None else times.after_binding(timeline.ENDED)),
        _seconds(times.after_binding(timeline.READY)),
    )


def _status(pod: dict[str, Any]) -> str:
    for container in pod["status"].get("containerStatuses", ()):
        ended = container["state"].get("terminated")
        if ended:
            return f"{pod['status']['phase']} ({ended['exitCode']})"
    return str(pod["status"]["phase"])


def _vm(uid: str, simulator: Simulator) -> str:
    """The VM whose name ends as the Pod's UID begins; that is how the operator names them."""
    found = simulator.govc("find", "/", "-type", "m", "-name", f"*{uid.replace('-', '')[:10]}").split()
    return found[0].rpartition("/")[2] if found else "-"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def table(rows: list[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
