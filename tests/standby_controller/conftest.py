"""Time passes at once in these tests: a loop that has nothing to do is at its next timer."""

from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.pod_controller.hurried_loop import HurriedLoop
from tests.standby_controller.reserve import Reserve


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], HurriedLoop]]:
    return {"hurried": HurriedLoop}


@pytest.fixture
async def not_started() -> AsyncIterator[Reserve]:
    """A parent, two standby clones wanted, and nobody who makes them yet."""
    reserve = Reserve()
    yield reserve
    await reserve.stop()
    assert reserve.vsphere.broken_promises == []


@pytest.fixture
async def reserve(not_started: Reserve) -> Reserve:
    """The same with a controller, and both clones ready."""
    not_started.start()
    await not_started.ready(2)
    return not_started
