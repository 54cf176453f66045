"""What an account lacks is noticed when it matters, named as a whole, and noticed again when it is granted."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from provider import rights
from provider.errors import NoPermission, VCenterUnreachable
from provider.rights import Rights, lacking

CLONE = {"pods": ("VirtualMachine.Provisioning.Clone", "VirtualMachine.Interact.PowerOn")}


class VCenter:
    """Answers what it is told to; an exception is raised once."""

    def __init__(self) -> None:
        self.missing: dict[str, Sequence[str]] = {}
        self.error: Exception | None = None
        self.asked = 0

    async def missing_privileges(self) -> Mapping[str, Sequence[str]]:
        self.asked += 1
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return self.missing


class Running:
    def __init__(self) -> None:
        self.vcenter = VCenter()
        self.told: list[NoPermission | None] = []
        self.changed = asyncio.Event()
        self.rights = Rights(self.vcenter, self._tell)

    def _tell(self, error: NoPermission | None) -> None:
        self.told.append(error)
        self.changed.set()

    async def next(self) -> NoPermission | None:
        async with asyncio.timeout(5):
            await self.changed.wait()
        self.changed.clear()
        return self.told[-1]


@pytest.fixture
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(rights, "AGAIN", 0.01)
    running = Running()
    task = asyncio.create_task(running.rights.run())
    yield running
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_everything_that_is_lacking_is_named_at_once() -> None:
    assert lacking({}) is None
    assert str(lacking(CLONE)) == (
        "the account lacks privileges on pods: VirtualMachine.Provisioning.Clone, VirtualMachine.Interact.PowerOn"
    )


async def test_a_look_refuses_an_account_that_lacks_something(running: Running) -> None:
    await running.rights.look()
    running.vcenter.missing = dict(CLONE)
    with pytest.raises(NoPermission, match="on pods"):
        await running.rights.look()


async def test_nobody_is_asked_as_long_as_nothing_is_in_doubt(running: Running) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    assert running.vcenter.asked == 0


async def test_a_doubt_is_looked_into_until_what_is_lacking_is_granted(running: Running) -> None:
    running.vcenter.missing = dict(CLONE)
    running.rights.doubt()
    assert "pods" in str(await running.next())
    assert running.rights.error is not None
    running.vcenter.missing = {}
    assert await running.next() is None
    assert running.rights.error is None


async def test_a_vcenter_that_does_not_answer_is_asked_again(running: Running) -> None:
    running.vcenter.error = VCenterUnreachable("gone")
    running.vcenter.missing = dict(CLONE)
    running.rights.doubt()
    assert await running.next() is not None
    assert running.vcenter.asked >= 2
