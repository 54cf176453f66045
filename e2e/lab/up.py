"""Brings the laboratory up, part by part, and takes it down. What runs already is left as it is."""

import contextlib
import shutil
import sys
from pathlib import Path

from e2e.lab import build, netns, ports, process, progress
from e2e.lab.controlplane import ControlPlane
from e2e.lab.paths import Paths
from e2e.lab.state import State, folders

NODE_ADDRESSES = ("10.77.0.2", "10.77.0.3")


def up(paths: Paths) -> State:
    folders(paths)
    state = State.load(paths)
    binaries = build.kubernetes(paths)
    for program in ("kubectl",):
        _link(paths.bin / program, binaries / program)
    if "apiserver_port" not in state.facts:
        apiserver, vcenter = ports.free(2)
        state.remember(apiserver_port=apiserver, vcenter_port=vcenter)
    both = [state.facts["apiserver_port"], state.facts["vcenter_port"]]
    netns.create(paths.namespace, NODE_ADDRESSES, reserved_ports=both)
    ready = paths.state / "forward.ready"
    if not state.running("forward"):
        ready.unlink(missing_ok=True)
    state.start(
        "forward",
        [sys.executable, "-m", "e2e.lab.forward", "--into", paths.namespace, "--ready", str(ready), *map(str, both)],
        env={"PYTHONPATH": str(paths.checkout)},
        ready=ready.exists,
    )
    ControlPlane(paths, state, binaries / "controlplane", state.facts["apiserver_port"]).up()
    return state


def down(paths: Paths) -> None:
    state = State.load(paths)
    with progress.step("Stopping"):
        for name in reversed(list(state.processes)):
            state.stop(name)
        for pid in netns.processes(paths.namespace):
            process.kill_pid(pid)
        netns.delete(paths.namespace)
        shutil.rmtree(paths.state, ignore_errors=True)
        with contextlib.suppress(OSError):
            paths.state.parent.rmdir()
        shutil.rmtree(paths.run, ignore_errors=True)


def _link(place: Path, target: Path) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to(target)
