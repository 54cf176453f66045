"""Starts and ends of Pods, and the steps of their VMs' lives that failed. Durations only of what this process began."""

from provider.clock import Clock
from provider.metrics.families import ERROR, FROM_TENTHS, SUCCESS, counter, histogram

_STAGES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, *FROM_TENTHS)

START = histogram(
    "vch_pod_start_duration_seconds",
    "Seconds from a Pod being seen to its containers running (success), or to its being given up (error: refused, or "
    "its VM is lost). Pods that are deleted before are not counted; class is empty if none was found.",
    FROM_TENTHS,
    *("vch", "class", "result"),
)
STAGES = histogram(
    "vch_pod_start_stage_duration_seconds",
    "Seconds from a Pod being seen to a stage of its start: clone_sent, cloned, guest_ready, running.",
    _STAGES,
    *("vch", "stage"),
)
START_ERRORS = counter(
    "vch_pod_start_errors_total",
    "Attempts to start a Pod that failed, by reason; most are followed by another one.",
    *("vch", "reason"),
)
STEP_FAILURES = counter(
    "vch_step_failures_total",
    "Steps of a VM's life that failed: Pods', parents', standby clones'.",
    "vch",
    "step",
    "reason",
)
TERMINATION = histogram(
    "vch_pod_termination_duration_seconds",
    "Seconds from a Pod's deletion being seen to its VM being gone; error: its guest did not end the Pod itself.",
    FROM_TENTHS,
    *("vch", "result"),
)


class Start:
    """One Pod's start: how far it got when. Each stage counts once, and only for a VM that this process has made."""

    def __init__(self, vch: str, clock: Clock) -> None:
        self._vch = vch
        self._clock = clock
        self._seen = clock.monotonic()
        self._begun: float | None = None
        self._class = ""
        self._reached: set[str] = set()
        self._over = False

    def begin(self, vm_class: str) -> None:
        """A VM is asked for, now or again."""
        self._begun, self._class = self._clock.monotonic(), vm_class
        self.reached("clone_sent")

    def reached(self, stage: str) -> float | None:
        """Seconds since the VM was asked for; None if that is known already or none was."""
        if self._begun is None or stage in self._reached:
            return None
        self._reached.add(stage)
        now = self._clock.monotonic()
        STAGES.labels(self._vch, stage).observe(now - self._seen)
        if stage == "running":
            self._end(SUCCESS)
        return now - self._begun

    def failed(self, reason: str) -> None:
        """An attempt failed; there may be another one."""
        if not self._over:
            START_ERRORS.labels(self._vch, reason).inc()

    def refused(self, reason: str) -> None:
        """There will never be a VM."""
        self.failed(reason)
        self._end(ERROR)

    def lost(self, reason: str) -> None:
        """The VM is gone; no matter if the Pod has run."""
        if self._begun is not None:
            self.failed(reason)
            self._end(ERROR)

    def _end(self, result: str) -> None:
        if not self._over:
            self._over = True
            START.labels(self._vch, self._class, result).observe(self._clock.monotonic() - self._seen)


def ended(vch: str, seconds: float, *, by_guest: bool) -> None:
    """A Pod that was deleted has no VM any more."""
    TERMINATION.labels(vch, SUCCESS if by_guest else ERROR).observe(seconds)
