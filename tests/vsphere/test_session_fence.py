"""A session asks its fence, in the thread, before each call that changes something, and before no other."""

import threading

import pytest

from provider import errors
from provider.vsphere.session import Endpoint, Session


@pytest.mark.parametrize(
    ("method", "fenced"), [("InstantClone_Task", True), ("Destroy_Task", True), ("RetrieveTaskInfo", False)]
)
async def test_only_tasks_are_fenced(method: str, fenced: bool) -> None:
    asked: list[str] = []

    def fence() -> None:
        asked.append(threading.current_thread().name)
        raise errors.LeaseLost("another replica's")

    session = Session(Endpoint("vcenter.test", "user", "password"), threads=1, timeout=1, fence=fence)
    called: list[str] = []
    try:
        if fenced:
            with pytest.raises(errors.LeaseLost):
                await session.call(method, lambda: called.append(method))
        else:
            await session.call(method, lambda: called.append(method))
    finally:
        session._threads.shutdown()
    assert called == ([] if fenced else [method])
    assert [name.partition("_")[0] for name in asked] == (["vcenter-vcenter.test"] if fenced else [])
