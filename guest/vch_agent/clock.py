"""The guest's wall clock: it stood still through the freeze, for hours or weeks.

Monotonic time goes on from where it stopped and needs nothing.
"""

import time
from collections.abc import Callable

_BEHIND = 1.0
"""Seconds: a guest that is slower to read the time than this is not corrected for it."""
_AHEAD = 30.0
"""Seconds: stepping back upsets certificates and timers, so only a clock that is plainly wrong is stepped back."""


def correction(told: float, now: float, *, forward_only: bool) -> float | None:
    """The time to set, or None if the clock may stay. Pure.

    `told` was true when it was written and is read later: being ahead of it is normal.
    """
    if now < told - _BEHIND:
        return told
    if not forward_only and now > told + _AHEAD:
        return told
    return None


def step(
    told: float,
    *,
    forward_only: bool,
    now: Callable[[], float] = time.time,
    set_time: Callable[[int, float], None] = time.clock_settime,
) -> float:
    """Set the clock if it is wrong; by how many seconds. Raises PermissionError without CAP_SYS_TIME."""
    before = now()
    target = correction(told, before, forward_only=forward_only)
    if target is None:
        return 0.0
    set_time(time.CLOCK_REALTIME, target)
    return target - before
