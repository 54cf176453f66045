"""What holds for all tests: they run side by side, but for those that measure.

`make test` has several workers (pytest-xdist), each with a laboratory of its own (`e2e/tests/conftest.py`). A test
marked `quiet` has the machine to itself: it begins when what the other workers are at has ended, and they wait for it.
"""

from collections.abc import Iterator

import pytest

from e2e.lab import turn


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "quiet: the test measures; none of another worker runs meanwhile")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if not hasattr(item.config, "workerinput"):
        return (yield)
    assert item.config.cache is not None
    with turn.taken(item.config.cache.mkdir("turns"), alone=item.get_closest_marker("quiet") is not None):
        return (yield)
