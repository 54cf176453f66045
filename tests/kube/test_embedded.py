"""kopf as a part of the process: its end is its own."""

import asyncio
import contextlib
from typing import Any

import kopf
import pytest
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
    running = asyncio.create_task(
        embedded.run(kopf.OperatorRegistry(), embedded.settings(), client.Configuration(), started.set)
    )
    await started.wait()
    younger = asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert own[0].cancelled()
    assert not younger.done()
    younger.cancel()
