"""Which Pods the virtual node has taken on, and whether one more fits. State of one virtual node, no I/O.

The judgement itself is `capacity.admit`. Taken on is taken on: a Pod is judged once, before it has a VM; a restart
judges none again that has one (invariant I-61). Terminating Pods count until their VM is gone (I-59), refused ones
never (I-60); ended ones whose VM is still there are deducted from what is offered, since the scheduler does not count
them any more.

The scheduler counts a Pod until its object is gone, we until its VM is: who is bound in between waits for that moment
instead of being refused.
"""

from collections.abc import Callable

from provider import capacity
from provider.capacity import Resources
from provider.errors import OutOfResource

_NOTHING = Resources()


class Admission:
    """Pods by UID."""

    def __init__(self, available: Callable[["Admission"], Resources | None]) -> None:
        """`available` says what Pods can have now (`capacity.allocatable`); None: not known yet."""
        self.open = False  # all Pods that were taken on before are known
        self._available = available
        self._admitted: dict[str, Resources] = {}
        self._ended: dict[str, Resources] = {}
        self._overheads: dict[str, Resources] = {}
        self._leaving: set[str] = set()  # the object is gone, the VM not yet
        self._waiting: set[str] = set()  # fit as soon as those are gone
        self._used = Resources()
        self._held = Resources()
        self._overhead = Resources()

    @property
    def used(self) -> Resources:
        """By Pods that are taken on and have not ended."""
        return self._used

    @property
    def ended(self) -> Resources:
        """By Pods that have ended, still have a VM, and are to keep it: not by those that are leaving."""
        return self._held.less(self._leaving_held())

    @property
    def overhead(self) -> Resources:
        """Of the VMs of all these Pods."""
        return self._overhead

    def decides(self) -> bool:
        """Whether a new Pod can be judged now."""
        return self.open and self._available(self) is not None

    def admit(self, uid: str, wanted: Resources, overhead: Resources = _NOTHING) -> bool:
        """Take a Pod on; false if it has to wait until Pods that are leaving are gone. Idempotent.

        Raises OutOfResource. `overhead` is the VM's that `wanted` does not have in it.
        """
        if uid in self._admitted or uid in self._ended:
            return True
        available = self._available(self)
        assert available is not None
        try:
            capacity.admit(wanted, (self._used,), available.less(self._leaving_held()))
        except OutOfResource:
            spent = sum((self._overheads[uid] for uid in self._leaving), _NOTHING)
            stay = sum((self._admitted[uid] for uid in self._leaving if uid in self._admitted), _NOTHING)
            if not self._leaving:
                raise
            capacity.admit(wanted, (self._used.less(stay),), available + spent)
            self._waiting.add(uid)
            return False
        self.keep(uid, wanted, overhead)
        return True

    def leave(self, uid: str) -> None:
        """A Pod's object is gone, or is as good as gone; its VM may not be yet."""
        if uid in self._admitted or uid in self._ended:
            self._leaving.add(uid)

    def _leaving_held(self) -> Resources:
        return sum((self._ended[uid] for uid in self._leaving if uid in self._ended), _NOTHING)

    def waiting(self) -> set[str]:
        """Those that may be judged again now; each is told of once."""
        waiting, self._waiting = self._waiting, set()
        return waiting

    def keep(self, uid: str, wanted: Resources, overhead: Resources = _NOTHING) -> None:
        """A Pod that has a VM or has run: it is taken on, whether it fits or not."""
        if uid not in self._admitted and uid not in self._ended:
            self._admitted[uid] = wanted
            self._used += wanted
            self._overheads[uid] = overhead
            self._overhead += overhead

    def end(self, uid: str) -> None:
        """A Pod has ended; its VM is still there."""
        if (found := self._admitted.pop(uid, None)) is not None:
            self._used = self._used.less(found)
            self._ended[uid] = found
            self._held += found

    def forget(self, uid: str) -> None:
        """Neither Pod nor VM is left."""
        self._leaving.discard(uid)
        self._waiting.discard(uid)
        self.end(uid)
        if (found := self._ended.pop(uid, None)) is not None:
            self._held = self._held.less(found)
            self._overhead = self._overhead.less(self._overheads.pop(uid))
