"""The mass brake: many VMs about to be destroyed at once point to a mistake of ours, not of so many Pods. Pure.

A wrong kubeconfig or an etcd restored from a backup makes every Pod look gone (invariant I-42; the node lifecycle
controller stops its evictions for the same reason). The same finding must then hold for a second, longer quarantine.
A privilege that was taken away, or a folder that was moved, makes every VM look gone: then Pods are not failed either.
"""

from provider.clock import Clock

AT_ONCE = 5
SHARE = 0.2
QUARANTINE = 600.0
ABSENT_SECONDS = 40.0
"""For as long a Pod, be it a single one, must be missing before a live read is believed that says so (I-39). PodGC
gives the Node of an orphaned Pod as long (pkg/controller/podgc)."""


class Brake:
    """Remembers since when too many were about to go."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None

    def allows(self, going: int, total: int) -> bool:
        """May `going` of `total` go now?"""
        if going <= max(AT_ONCE, SHARE * total):
            self._since = None
            return True
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since >= QUARANTINE


_SETTLES = 5.0
_LOOK_AGAIN = 30.0


class Losses:
    """Pods whose VM the inventory does not show any more though it was there. What is lost together is judged together,
    so each is waited for a moment."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._brake = Brake(clock)
        self._missing: dict[str, float] = {}  # since when, by the Pod's UID
        self.braked = False

    def missing(self, uid: str, others: int) -> float | None:
        """The instant at which to look again, or None: the VM may be given up now. `others` are VMs that are there."""
        now = self._clock.monotonic()
        settled = self._missing.setdefault(uid, now) + _SETTLES
        if now < settled:
            return settled
        self.braked = not self._brake.allows(len(self._missing), len(self._missing) + others)
        return now + _LOOK_AGAIN if self.braked else None

    def over(self, uid: str) -> None:
        """The VM is there, or was given up."""
        self._missing.pop(uid, None)
