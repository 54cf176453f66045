"""Time passes at once in these tests: a loop that has nothing to do is at its next timer."""

from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.pod_controller.hurried_loop import HurriedLoop
from tests.pod_controller.world import World


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], HurriedLoop]]:
    return {"hurried": HurriedLoop}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A virtual node that has just been started, without Pods."""
    world = World()
    world.start()
    yield world
    await world.stop()
    assert world.broken_promises == []
