"""How a loop waits for what comes first, news or its own deadline. Not the time itself, which is pure: see `clock`."""

import asyncio
import contextlib

from provider.clock import Clock


async def wait_until(until: float | None, event: asyncio.Event, clock: Clock) -> None:
    """Until the event is set or the clock's monotonic time is reached; None: only the event ends it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(None if until is None else max(0.0, until - clock.monotonic())):
            await event.wait()
