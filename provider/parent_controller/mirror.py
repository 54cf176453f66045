"""ParentVM objects beside the parents: written when they differ, deleted when the VM is gone. One way only.

What they say is `parent_status`. A change is shown at once, but no object is written more than once a second.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from provider import errors, parent_status

KubeObject = dict[str, Any]

_AT_MOST_EVERY = 1.0
_RETRY_SECONDS = 5.0
_RELIST_SECONDS = 300.0


class Mirror(ABC):
    """Objects that show what is known elsewhere, and what is stored of them."""

    def __init__(self, what: str) -> None:
        self._changed = asyncio.Event()
        self._log = structlog.get_logger(what=what)

    def changed(self) -> None:
        """Something may have to be written."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        known: dict[str, KubeObject] | None = None
        while True:
            try:
                async with asyncio.timeout(_RELIST_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                known = None  # what somebody else has written or deleted is put right
            self._changed.clear()
            try:
                if known is None:
                    known = {each["metadata"]["name"]: each for each in await self._list()}
                await self._write(known)
                await asyncio.sleep(_AT_MOST_EVERY)
            except errors.KubeError as error:
                self._log.warning("not written", reason=error.reason, error=str(error))
                known = None
                self._changed.set()
                await asyncio.sleep(_RETRY_SECONDS)

    @abstractmethod
    async def _list(self) -> list[KubeObject]:
        """Those that are stored. Raises KubeError."""

    @abstractmethod
    async def _write(self, known: dict[str, KubeObject]) -> None:
        """What is not as it should be, in `known` too. Raises KubeError."""


class ParentObjects(Protocol):
    """`kube.parents.ParentObjects`."""

    async def list(self, vch: str) -> list[KubeObject]: ...

    async def apply(self, parent: KubeObject) -> KubeObject: ...

    async def delete(self, name: str) -> None: ...


class ParentMirror(Mirror):
    """Of one VCH. `shown` says what is to be seen now, by name; None: not known yet."""

    def __init__(self, vch: str, kube: ParentObjects, shown: Callable[[], Mapping[str, KubeObject] | None]) -> None:
        super().__init__(f"ParentVMs of {vch}")
        self._vch = vch
        self._kube = kube
        self._shown = shown

    async def _list(self) -> list[KubeObject]:
        return await self._kube.list(self._vch)

    async def _write(self, known: dict[str, KubeObject]) -> None:
        shown = self._shown()
        if shown is None:
            return
        for name, new in shown.items():
            new = parent_status.merged(known.get(name), new)
            if not parent_status.same(known.get(name), new):
                known[name] = await self._kube.apply(new)
        for name in known.keys() - shown.keys():
            with contextlib.suppress(errors.KubeNotFound):
                await self._kube.delete(name)
            del known[name]
