"""What `lab.json` remembers of a running laboratory: its ports and the processes to end, written after each change.

It is the only memory that `down` has, so a process is in it before anything waits for that process.
"""

import contextlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from e2e.lab import process
from e2e.lab.paths import Paths
from e2e.lab.process import Process


class State:
    """`lab.json` of one checkout."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.facts: dict[str, Any] = {}
        self.processes: dict[str, Process] = {}

    @classmethod
    def load(cls, paths: Paths) -> "State":
        """What was written, or an empty state."""
        state = cls(paths)
        with contextlib.suppress(FileNotFoundError):
            written = json.loads(paths.lab_json.read_text())
            state.facts = written["facts"]
            state.processes = {name: Process(**fields) for name, fields in written["processes"].items()}
        return state

    def remember(self, **facts: Any) -> None:
        """Notes facts that a later command needs."""
        self.facts.update(facts)
        self._save()

    def running(self, name: str) -> Process | None:
        """The process of that name, if it still runs."""
        found = self.processes.get(name)
        return found if found and process.alive(found) else None

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        namespace: str | None = None,
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        timeout: float = 60.0,
    ) -> Process:
        """Starts a program of the laboratory, unless it runs already, and waits until it is ready."""
        started = self.running(name)
        if started is None:
            log = self.paths.logs / f"{name}.log"
            started = process.start(name, argv, log=log, namespace=namespace, env=env)
            self.processes[name] = started
            self._save()
        if ready:
            process.wait_ready(started, ready, timeout=timeout)
        return started

    def stop(self, name: str, *, timeout: float = 30.0) -> bool:
        """Ends a program of the laboratory. True if it went when it was asked to."""
        found = self.processes.get(name)
        went = process.stop(found, timeout=timeout) if found else True
        self.processes.pop(name, None)
        self._save()
        return went

    def _save(self) -> None:
        self.paths.run.mkdir(parents=True, exist_ok=True)
        written = {"facts": self.facts, "processes": {name: asdict(value) for name, value in self.processes.items()}}
        unfinished = self.paths.lab_json.with_suffix(".tmp")
        unfinished.write_text(json.dumps(written, indent=2) + "\n")
        os.replace(unfinished, self.paths.lab_json)


def folders(paths: Paths) -> None:
    """Makes the folders of a laboratory; keys and databases are nobody else's business."""
    for folder in (paths.run, paths.logs, paths.bin):
        folder.mkdir(parents=True, exist_ok=True)
    for secret in (paths.pki, paths.state):
        secret.mkdir(parents=True, exist_ok=True)
        Path(secret).chmod(0o700)
