"""Who is cancelled ends, whatever else goes wrong at that moment."""

import asyncio
import contextlib

from provider import cancellation


async def _fails(now: asyncio.Event) -> None:
    await now.wait()
    raise OSError


async def _again_and_again(now: asyncio.Event) -> None:
    while True:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_fails(now))
                await asyncio.sleep(60)
        except* OSError:
            cancellation.heed()
        await asyncio.sleep(60)


async def test_a_cancellation_is_heeded_although_a_task_fails_at_the_same_moment() -> None:
    now = asyncio.Event()
    task = asyncio.create_task(_again_and_again(now))
    await asyncio.sleep(0.01)
    now.set()
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    with contextlib.suppress(asyncio.CancelledError):
        task.cancel()
        await task
    assert done


async def test_nothing_is_raised_in_a_task_that_goes_on() -> None:
    cancellation.heed()
