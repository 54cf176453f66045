"""Time passes at once in these tests: a loop that has nothing to do is at its next timer."""

from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.parent_controller.hosts import Hosts
from tests.pod_controller.hurried_loop import HurriedLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], HurriedLoop]]:
    return {"hurried": HurriedLoop}


@pytest.fixture
async def not_started() -> AsyncIterator[Hosts]:
    """Two hosts without parents, and nobody who looks after them yet."""
    hosts = Hosts()
    yield hosts
    await hosts.stop()


@pytest.fixture
async def hosts(not_started: Hosts) -> Hosts:
    """Two hosts without parents, and a controller that has just been started."""
    not_started.start()
    return not_started
