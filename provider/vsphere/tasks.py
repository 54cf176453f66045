"""Outcomes of tasks, as the watch sees them: a caller waits for its task without a call of its own.

An outcome may be seen before its caller asks, since the watch is another connection than the call; so the latest ones
are kept for a while. After the watch was lost, tasks that are not among vCenter's recent ones are asked for once.
"""

import asyncio
from collections import OrderedDict
from typing import Any

from provider.errors import VCenterUnreachable, VSphereError
from provider.vsphere import faults
from provider.vsphere.picture import TaskOutcome

TASK_TIMEOUT = 300.0
"""Seconds after which a task without news counts as unknown. (Power operations were seen to hang for 20 minutes.)"""

_KEPT = 1000


class Tasks:
    """Meant for one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[TaskOutcome]] = {}
        self._ended: OrderedDict[str, TaskOutcome] = OrderedDict()

    @property
    def waiting(self) -> list[str]:
        """Tasks whose outcome somebody waits for."""
        return list(self._waiting)

    def saw(self, outcome: TaskOutcome) -> None:
        """A task has ended."""
        future = self._waiting.pop(outcome.moref, None)
        if future is not None and not future.done():
            future.set_result(outcome)
            return
        self._ended[outcome.moref] = outcome
        while len(self._ended) > _KEPT:
            self._ended.popitem(last=False)

    def lost(self, moref: str, error: VSphereError) -> None:
        """The outcome of a task cannot be known any more."""
        future = self._waiting.pop(moref, None)
        if future is not None and not future.done():
            future.set_exception(error)

    async def result(self, moref: str, *, clone: bool = False) -> Any:
        """The task's result. Raises the VSphereError of its fault, or VCenterUnreachable when nobody knows."""
        outcome = self._ended.pop(moref, None) or await self._wait(moref)
        if outcome.fault is None:
            return outcome.result
        raise (faults.translate_clone if clone else faults.translate)(outcome.fault) from outcome.fault

    async def _wait(self, moref: str) -> TaskOutcome:
        future: asyncio.Future[TaskOutcome] = asyncio.get_running_loop().create_future()
        self._waiting[moref] = future
        try:
            async with asyncio.timeout(TASK_TIMEOUT):
                return await future
        except TimeoutError as error:
            raise VCenterUnreachable(f"no word of the task {moref} within {TASK_TIMEOUT:.0f} s") from error
        finally:
            self._waiting.pop(moref, None)
