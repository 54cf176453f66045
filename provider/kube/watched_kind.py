"""One kind of object that is watched while somebody needs it, and forgotten when nobody does.

Between `reflector`, which tells of objects, and the indices of `network_policy`, which tell whom of our Pods a change
concerns. Objects that went while nobody looked are missed here, in the next list.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from provider.kube.client import KubeObject
from provider.kube.reflector import ListClient, Reflector

T = TypeVar("T")
Key = tuple[str, str]
"""Namespace and name or UID."""


class Changed(Protocol):
    """Who is told whom news concern; `first`: the kind has been listed for the first time."""

    def __call__(self, uids: set[str], *, first: bool) -> None: ...


@dataclass(slots=True)
class WatchedKind(Generic[T]):
    """`reflector.Receiver`. What is kept of the objects is kept by `add` and `drop`."""

    client: ListClient
    url_path: str
    keep: Callable[[KubeObject], T]
    key: Callable[[T], Key]
    add: Callable[[T], set[str]]
    """The UIDs of the Pods that this concerns."""
    drop: Callable[[Key], set[str]]
    """Likewise."""
    changed: Changed
    field_selector: str = ""
    known: bool = False
    """All there are have been listed."""
    _there: set[Key] = field(default_factory=set)
    _task: asyncio.Task[None] | None = None
    _ending: set[asyncio.Task[None]] = field(default_factory=set)

    def keep_watched(self, needed: bool) -> None:
        """Begin or end. What is not watched gets old, so it is forgotten."""
        if needed and self._task is None:
            selected = {"fieldSelector": self.field_selector} if self.field_selector else {}
            reflector = Reflector(self.client, self.url_path, self.keep, self, selected)
            self._task = asyncio.create_task(reflector.run(), name=f"watch {self.url_path}")
        elif not needed and self._task is not None:
            self._task.cancel()
            self._ending.add(self._task)
            self._task.add_done_callback(self._ending.discard)
            self._task, self.known = None, False
            there, self._there = self._there, set()
            for key in there:
                self.drop(key)

    async def ended(self) -> None:
        """Until nothing of it runs any more; it must not be needed."""
        await asyncio.gather(*self._ending, return_exceptions=True)

    def listed(self, all_there_are: list[T]) -> None:
        first, self.known = not self.known, True
        there = {self.key(each) for each in all_there_are}
        gone, self._there = self._there - there, there
        concerned = [self.add(each) for each in all_there_are] + [self.drop(key) for key in gone]
        self.changed(set().union(*concerned), first=first)

    def seen(self, thing: T) -> None:
        self._there.add(self.key(thing))
        self.changed(self.add(thing), first=False)

    def gone(self, thing: T) -> None:
        self._there.discard(self.key(thing))
        self.changed(self.drop(self.key(thing)), first=False)
