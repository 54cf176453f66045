"""After an orderly stop nothing is left. After a crash something may be; this finds it by where it is, not by its
name.

What belongs to a laboratory lies in its network namespace, or has a mount from its state folder, or is in a cgroup
that is named after it. Nothing else is touched.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from e2e.lab import netns, process, progress
from e2e.lab.paths import Paths

_CGROUPS = Path("/sys/fs/cgroup")


def sweep(paths: Paths) -> None:
    """Ends processes, mounts, namespace and cgroups of the laboratory that are still there."""
    for pid in {*netns.processes(paths.namespace), *_with_mounts_below(paths.state)} - {os.getpid()}:
        progress.say(f"left over: process {pid} ({_name(pid)}), killed")
        process.kill_pid(pid)
    for place in _mounts_below(Path("/proc/self/mountinfo"), paths.state):
        subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
    netns.delete(paths.namespace)
    for folder in _cgroups(paths.namespace):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _with_mounts_below(folder: Path) -> Iterator[int]:
    """Processes in a mount namespace of their own that has something of the folder mounted: native guests."""
    ours = os.readlink("/proc/self/ns/mnt")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.readlink(entry / "ns" / "mnt") != ours and f"{folder}/" in (entry / "mountinfo").read_text():
                yield int(entry.name)
        except OSError:
            continue  # it ended meanwhile


def _mounts_below(table: Path, folder: Path) -> list[str]:
    """Mount points below a folder, the innermost first."""
    places = [line.split()[4] for line in table.read_text().splitlines()]
    return sorted((place for place in places if place.startswith(f"{folder}/")), key=len, reverse=True)


def _cgroups(name: str) -> list[Path]:
    """cgroups (version 1: one tree for each controller) whose name begins with the laboratory's, innermost first."""
    tops = [*_CGROUPS.glob(f"{name}*"), *_CGROUPS.glob(f"*/{name}*")]
    below = [Path(folder) for top in tops for folder, _, _ in os.walk(top)]
    return sorted(below, key=lambda folder: len(folder.parts), reverse=True)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"
