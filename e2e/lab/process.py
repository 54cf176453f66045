"""Programs that outlive the one that starts them, each with its log; found again and ended by process ID.

A process ID alone is no identity: it is used again. With the start time of the process (field 22 of /proc/PID/stat,
clock ticks since boot) it is, within one boot. Waiting for an end is waiting for a pidfd, never a loop over kill(0).
"""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import netns
from e2e.lab.errors import LabError, tail

_CHECK_EVERY = 0.05  # seconds between two looks at a program that cannot tell when it is ready


@dataclass(frozen=True, slots=True)
class Process:
    """A program that was started, as `lab.json` remembers it."""

    name: str
    pid: int
    start_time: int
    log: str


def start(
    name: str,
    argv: Sequence[str],
    *,
    log: Path,
    namespace: str | None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Process:
    """Starts `argv` detached (own session), its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        popen = subprocess.Popen(
            netns.command(namespace, argv) if namespace else list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {})},
            cwd=cwd or "/",
        )
    started = _start_time(popen.pid)
    popen.returncode = 0  # it is not ours to wait for: no ResourceWarning; `_reap` collects it if it stays our child
    if started is None:
        raise LabError(f"{name} ended at once:\n{tail(log)}")
    return Process(name=name, pid=popen.pid, start_time=started, log=str(log))


def alive(process: Process) -> bool:
    """Whether this very process still runs (a zombie does not)."""
    _reap(process.pid)
    return _start_time(process.pid) == process.start_time


def wait_ready(process: Process, ready: Callable[[], bool], *, timeout: float) -> None:
    """Returns when `ready()` holds; at once with the end of its log if the program ends before."""
    deadline = time.monotonic() + timeout
    while not ready():
        if _wait_gone(process, _CHECK_EVERY):
            raise LabError(f"{process.name} ended before it was ready:\n{tail(Path(process.log))}")
        if time.monotonic() > deadline:
            raise LabError(f"{process.name} was not ready within {timeout:.0f} s:\n{tail(Path(process.log))}")


def stop(process: Process, *, timeout: float = 30.0) -> bool:
    """Ends the program: politely, then with force. True if it went politely (or was gone)."""
    if not alive(process):
        return True
    os.kill(process.pid, signal.SIGTERM)
    if _wait_gone(process, timeout):
        return True
    kill(process)
    return False


def kill(process: Process) -> None:
    """Ends the program and what else is in its session, with force; returns when it is gone."""
    if not alive(process):
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    _wait_gone(process, 10.0)


def kill_pid(pid: int) -> None:
    """Ends a process by force that nobody remembers starting."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _wait_gone(process: Process, timeout: float) -> bool:
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if _start_time(process.pid) != process.start_time:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        gone = bool(poll.poll(timeout * 1000))
    finally:
        os.close(descriptor)
    if gone:
        _reap(process.pid)
    return gone


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _start_time(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the program's name, in brackets, may contain anything
    return None if state in "ZX" else int(fields[18])
