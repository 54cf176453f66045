"""Time as an argument: everything that waits or dates takes a `Clock`, so that tests can make time pass. Pure."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for people and objects, monotonic time for every wait (invariant I-41)."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """The machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Runs on while the machine is suspended: a Lease does, too."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
