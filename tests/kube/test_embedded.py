"""kopf as a part of the process: its end is its own."""

import asyncio
import contextlib
from typing import Any

import kopf
import pytest
from kopf._core.reactor import running
from kubernetes.aio import client

from provider.kube import embedded


async def test_the_end_of_an_operator_touches_nobody_elses_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    own: list[asyncio.Task[Any]] = []

    async def spawn_tasks(*, ready_flag: asyncio.Event, **_: Any) -> list[asyncio.Task[Any]]:
        own.append(asyncio.create_task(asyncio.Event().wait()))
        ready_flag.set()
        return own

    monkeypatch.setattr(kopf, "spawn_tasks", spawn_tasks)
    started = asyncio.Event()
    operator = asyncio.create_task(
        embedded.run(kopf.OperatorRegistry(), embedded.settings(), client.Configuration(), started.set)
    )
    await started.wait()
    younger = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    operator.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await operator
    assert own[0].cancelled()
    assert not younger.done()
    younger.cancel()


async def test_the_process_outlives_the_end_of_an_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """kopf has SIGKILL sent some time after an operator was cancelled, unless it is told not to."""
    later: list[object] = []
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda *call: later.append(call))
    ending = asyncio.create_task(running.ultimate_termination(settings=embedded.settings(), stop_flag=None))
    await asyncio.sleep(0)
    ending.cancel()
    await ending
    assert later == []
