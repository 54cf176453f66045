"""Time passes at once in these tests: a loop that has nothing to do is at its next timer."""

from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.node_controller.fake_nodes import Heartbeat
from tests.pod_controller.hurried_loop import HurriedLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], HurriedLoop]]:
    return {"hurried": HurriedLoop}


@pytest.fixture
async def heartbeat() -> AsyncIterator[Heartbeat]:
    """A virtual node that has just been started for the first time."""
    heartbeat = Heartbeat()
    heartbeat.start()
    yield heartbeat
    await heartbeat.stop()
