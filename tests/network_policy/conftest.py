"""Time passes at once in these tests: a loop that has nothing to do is at its next timer."""

from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from provider.kube.policy_watch import PolicyWatch
from tests.network_policy.fake_api import FakeAPI
from tests.pod_controller.hurried_loop import HurriedLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], HurriedLoop]]:
    return {"hurried": HurriedLoop}


@pytest.fixture(name="api")
def _api() -> FakeAPI:
    return FakeAPI()


@pytest.fixture(name="watch")
async def _watch(api: FakeAPI) -> AsyncIterator[PolicyWatch]:
    watch = PolicyWatch(api)
    yield watch
    await watch.close()
    assert api.open == []
