"""When each Pod of a namespace got how far, by a clock of our own: objects tell whole seconds only.

Two watches run through kubectl, of Pods and of their Events. What counts is when a change could be seen by a user,
which is a little later than when it happened.
"""

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from e2e.lab import kubectl
from e2e.lab.errors import LabError
from e2e.lab.paths import Paths

CLONED = "VirtualMachineCloned"
GUEST_READY = "GuestReady"
RUNNING = "Running"
READY = "Ready"
ENDED = "Ended"


@dataclass(slots=True)
class PodTimes:
    """One Pod: its last state, and the seconds from its binding to each stage."""

    pod: dict[str, Any] = field(default_factory=dict)
    bound: float | None = None
    seen: dict[str, float] = field(default_factory=dict)

    def after_binding(self, stage: str) -> float | None:
        if self.bound is None or stage not in self.seen:
            return None
        return max(0.0, self.seen[stage] - self.bound)


class Timeline:
    """All Pods of a namespace, by UID."""

    def __init__(self, paths: Paths, namespace: str) -> None:
        self.pods: dict[str, PodTimes] = {}
        self._paths = paths
        self._namespace = namespace
        self._changed = threading.Condition()
        self._watches: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Timeline":
        self._watch("pods", self._pod)
        self._watch("events", self._event)
        return self

    def __exit__(self, *_: object) -> None:
        for watch in self._watches:
            watch.kill()
            watch.wait()

    def wait(self, done: Callable[[dict[str, PodTimes]], bool], *, timeout: float) -> None:
        """Returns when `done` holds for what was seen so far."""
        with self._changed:
            if not self._changed.wait_for(lambda: done(self.pods), timeout=timeout):
                states = [
                    f"{times.pod.get('metadata', {}).get('name', uid)}: {_state(times.pod)}"
                    for uid, times in self.pods.items()
                ]
                raise LabError(f"the Pods were not there after {timeout:.0f} s: {'; '.join(states) or 'none was made'}")

    def _watch(self, kind: str, told: Callable[[dict[str, Any], float], None]) -> None:
        argv = kubectl.command(self._paths, "-n", self._namespace, "get", kind, "--watch", "--output=json")
        watch = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
        self._watches.append(watch)

        def read() -> None:
            assert watch.stdout is not None
            for thing in documents(watch.stdout):
                now = time.monotonic()
                with self._changed:
                    told(thing, now)
                    self._changed.notify_all()

        threading.Thread(target=read, daemon=True).start()

    def _pod(self, pod: dict[str, Any], now: float) -> None:
        times = self.pods.setdefault(pod["metadata"]["uid"], PodTimes())
        times.pod = pod
        if times.bound is None and pod["spec"].get("nodeName"):
            times.bound = now
        status = pod.get("status", {})
        reached = {
            RUNNING: status.get("phase") == "Running",
            ENDED: status.get("phase") in ("Succeeded", "Failed"),
            READY: any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ())),
        }
        for stage, holds in reached.items():
            if holds:
                times.seen.setdefault(stage, now)

    def _event(self, event: dict[str, Any], now: float) -> None:
        if event.get("reason") in (CLONED, GUEST_READY):
            times = self.pods.setdefault(event["involvedObject"]["uid"], PodTimes())
            times.seen.setdefault(event["reason"], now)


def documents(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The JSON documents of a stream that are printed over several lines, each as soon as it is whole."""
    text: list[str] = []
    for line in lines:
        text.append(line)
        if line.rstrip("\n") == "}":
            with contextlib.suppress(ValueError):
                yield json.loads("".join(text))
                text.clear()


def _state(pod: dict[str, Any]) -> str:
    status = pod.get("status", {})
    why = [c.get("state", {}).get("waiting", {}).get("reason", "") for c in status.get("containerStatuses", ())]
    return " ".join(filter(None, [status.get("phase", "unknown"), status.get("reason"), *why]))
