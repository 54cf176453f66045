"""An event loop whose time is not the machine's, and the clock that shows it."""

import asyncio
import selectors
from datetime import datetime, timedelta
from typing import Any

from tests.fake_clock import BEGAN

_TURN = 1e-6  # what a turn of the loop takes, lest what is due in a moment is never due


class HurriedLoop(asyncio.SelectorEventLoop):
    """Instead of waiting it puts its clock forward. Nothing outside of it can be waited for."""

    def __init__(self) -> None:
        self.elapsed = 1000.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.elapsed


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: HurriedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("everything waits and nothing will ever happen")
        self._loop.elapsed += max(timeout, _TURN)
        return super().select(0)


class LoopClock:
    """`clock.Clock`: the running loop's time, and a wall clock that a test may set wrong."""

    def __init__(self) -> None:
        self.skew = timedelta()

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.monotonic()) + self.skew

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()
