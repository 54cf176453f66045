"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """`clock.Clock`."""

    def __init__(self, seconds: float = 1000.0) -> None:
        self._seconds = seconds

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        self._seconds += seconds
