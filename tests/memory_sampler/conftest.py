"""Time passes at once in these tests: a loop that has nothing to do is at its next timer."""

from collections.abc import Callable, Mapping

from tests.pod_controller.hurried_loop import HurriedLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], HurriedLoop]]:
    return {"hurried": HurriedLoop}
