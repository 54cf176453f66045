"""The VMs' memory is asked for when somebody looks, and never more often than that is worth."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest

from provider import errors
from provider.memory_sampler import EVERY, LASTS, MemorySampler
from provider.podvm import VMMemory
from tests.pod_controller.hurried_loop import LoopClock

SOME = {"vm-1": VMMemory(shared=2, private=1, ballooned=0, consumed=1)}


class VCenter:
    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    async def memory(self) -> Mapping[str, VMMemory]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return SOME


@pytest.fixture(name="vcenter")
def _vcenter() -> VCenter:
    return VCenter()


@pytest.fixture(name="sampler")
async def _sampler(vcenter: VCenter) -> AsyncIterator[MemorySampler]:
    sampler = MemorySampler("vch", cast("Any", vcenter), LoopClock())
    running = asyncio.create_task(sampler.run())
    yield sampler
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_who_looks_gets_what_the_look_before_has_brought(sampler: MemorySampler, vcenter: VCenter) -> None:
    assert sampler.latest() == {}
    await asyncio.sleep(1)
    assert sampler.latest() == SOME
    assert SOME["vm-1"].granted == 3


async def test_nobody_looks_and_nothing_is_asked(sampler: MemorySampler, vcenter: VCenter) -> None:
    await asyncio.sleep(3600)
    assert vcenter.asked == 0


async def test_many_looks_are_few_calls(sampler: MemorySampler, vcenter: VCenter) -> None:
    for _ in range(90):
        sampler.latest()
        await asyncio.sleep(1)
    assert vcenter.asked <= 90 / EVERY + 1


async def test_what_is_old_or_cannot_be_known_is_not_shown(sampler: MemorySampler, vcenter: VCenter) -> None:
    sampler.latest()
    await asyncio.sleep(LASTS + 1)
    assert sampler.latest() == {}
    await asyncio.sleep(EVERY)
    assert sampler.latest() == SOME
    vcenter.error = errors.VCenterUnreachable("gone")
    await asyncio.sleep(2 * EVERY)
    assert sampler.latest() == {}
