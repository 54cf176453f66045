"""A fence: asked immediately before each write for a VCH, whether the replica still holds that VCH's Lease.

It is a clock and nothing else: it asks nobody, so it can be asked in any thread and before every request. vSphere has
no fencing tokens, so a write that was let through in time may still arrive late; names and preconditions by UID make
that one harmless. Who renews the Lease is `lease_controller`'s business.
"""

import math
from collections.abc import Callable

from provider import errors, tenure
from provider.tenure import Terms


class Fence:
    """One tenure's. It holds nothing until the first `renewed`, and is never used again once it is `closed`."""

    def __init__(self, name: str, terms: Terms, monotonic: Callable[[], float]) -> None:
        self._name = name
        self._terms = terms
        self._monotonic = monotonic
        self._over = -math.inf
        self._closed = False

    def renewed(self, sent: float) -> None:
        """The Lease was acquired or renewed by a request that was begun at `sent`, not when its answer came."""
        self._over = tenure.over_at(sent, self._terms)

    def close(self) -> None:
        """The tenure is over, whatever the clock says; a later tenure has another fence."""
        self._closed = True

    def left(self) -> float:
        """Seconds until nothing may be sent any more."""
        return -math.inf if self._closed else self._over - self._monotonic()

    def check(self) -> None:
        """Raises LeaseLost unless a write may be sent now."""
        if self.left() <= 0:
            raise errors.LeaseLost(f"the Lease of {self._name} is not held by this replica: nothing is written for it")
