"""Time passes at once in these tests: a loop that has nothing to do is at its next timer."""

from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.image_controller.library import Library
from tests.pod_controller.hurried_loop import HurriedLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], HurriedLoop]]:
    return {"hurried": HurriedLoop}


@pytest.fixture
async def library() -> AsyncIterator[Library]:
    """A vCenter without templates, and nobody who looks for any."""
    library = Library()
    yield library
    await library.stop()
