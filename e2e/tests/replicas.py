"""Two replicas of the operator as processes of the laboratory: killed, paused, resumed, each process under a new name.

The laboratory's own operator makes place for them and is back afterwards.
"""

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from e2e.lab.process import Process
from e2e.lab.vch_operator import NAMESPACE
from e2e.tests.kube import Kube, NeverHappened
from e2e.tests.running_lab import RunningLab


class Replicas:
    """Replicas by place (`left`, `right`); each process in a place has a name of its own."""

    def __init__(self, lab: RunningLab, kube: Kube) -> None:
        self._lab = lab
        self._kube = kube.within(NAMESPACE)
        self._numbers = itertools.count(1)
        self.names: dict[str, str] = {}  # of the process that runs in a place
        self._processes: dict[str, Process] = {}

    def start(self, place: str) -> None:
        self.names[place] = f"{place}-{next(self._numbers)}"
        self._processes[place] = self._lab.operator.start(
            self._lab.laboratory.cluster, f"operator-{place}", VCH_IDENTITY=self.names[place]
        )

    def kill(self, place: str) -> None:
        self._lab.operator.kill(f"operator-{place}")

    def pause(self, place: str) -> None:
        os.kill(self._processes[place].pid, signal.SIGSTOP)

    def resume(self, place: str) -> None:
        os.kill(self._processes[place].pid, signal.SIGCONT)

    def stop(self, place: str) -> None:
        with contextlib.suppress(ProcessLookupError, KeyError):
            self.resume(place)
        self._lab.operator.stop(f"operator-{place}")

    def log(self, place: str) -> str:
        """What the processes in a place have logged."""
        return (self._lab.laboratory.paths.logs / f"operator-{place}.log").read_text()

    def holder(self, vch: str) -> str:
        """The name of the replica that the VCH's Lease names."""
        lease = self._kube.get("lease", f"vch-{vch}")
        return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")

    def place_of(self, vch: str) -> str:
        """Where the holder runs."""
        (place,) = [place for place, name in self.names.items() if name == self.holder(vch)]
        return place

    def until_held_by(self, places: set[str], vchs: tuple[str, ...], *, timeout: float) -> None:
        """Returns when each VCH's Lease names a process that runs in one of these places."""
        wanted = {self.names[place] for place in places}
        deadline = time.monotonic() + timeout
        while any(self.holder(vch) not in wanted for vch in vchs):
            if time.monotonic() > deadline:
                held = {vch: self.holder(vch) for vch in vchs}
                logs = "\n".join(f"--- {place}\n{self.log(place)[-3000:]}" for place in self.names)
                raise NeverHappened(f"not within {timeout} s: held by one of {wanted}; held are {held}\n{logs}")
            time.sleep(0.5)


@contextlib.contextmanager
def two(lab: RunningLab, kube: Kube) -> Iterator[Replicas]:
    """Two replicas instead of the laboratory's operator."""
    replicas = Replicas(lab, kube)
    lab.operator.stop()
    try:
        replicas.start("left")
        replicas.start("right")
        yield replicas
    finally:
        for place in ("left", "right"):
            replicas.stop(place)
        lab.start_operator()


def now() -> datetime:
    return datetime.now(UTC)
