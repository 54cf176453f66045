"""How long until something is tried again: never given up, at growing distances. Pure."""

from provider.errors import ProviderError

LONGEST = 300.0
_FIRST = 1.0


class Backoff:
    """Failures of one kind of step, and the instant from which it may be tried again."""

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0

    def failed(self, error: ProviderError, now: float, spread: float = 1.0) -> float:
        """Counts a failure; returns the delay. `spread` (about 1) keeps many from trying at the same instant."""
        first = error.retry_after if error.retry_after is not None else _FIRST
        delay: float = min(first * 2 ** min(self.failures, 16), LONGEST) * spread
        self.failures += 1
        self.until = now + delay
        return delay

    def hurry(self) -> None:
        """Something changed that may help: try at once, but go on counting."""
        self.until = 0.0

    def succeeded(self) -> None:
        self.failures = 0
        self.until = 0.0
