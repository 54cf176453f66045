"""The virtual nodes of this process: one task for each VirtualContainerHost, begun anew when its spec changes.

`handlers` tells what the API server has; nothing here asks for it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from pydantic import ValidationError

from provider.kube.client import KubeObject

log = structlog.get_logger(__name__)

_AFTER_DEFECT = 5.0


class Node(Protocol):
    """`virtual_node.VirtualNode`."""

    async def run(self) -> None: ...

    async def drain(self) -> None: ...


@dataclass(slots=True)
class _Running:
    vch: KubeObject
    node: Node
    task: asyncio.Task[None]


class Fleet:
    """`names`: the VCHs that are this process' business; empty: all."""

    def __init__(self, make: Callable[[KubeObject], Node], names: frozenset[str] = frozenset()) -> None:
        self._make = make
        self._names = names
        self._running: dict[str, _Running] = {}

    def concerns(self, name: str) -> bool:
        return not self._names or name in self._names

    async def see(self, vch: KubeObject) -> None:
        """A VCH is there, new or changed."""
        name = vch["metadata"]["name"]
        running = self._running.get(name)
        if running is not None and _same(running.vch, vch):
            return
        if running is not None:
            log.info("the VirtualContainerHost has changed: its virtual node is begun anew", node=name)
            await self.forget(name)
        try:
            node = self._make(vch)
        except ValidationError as error:
            # The API server has validated it: this is a VCH of another version's schema.
            log.error("a VirtualContainerHost cannot be read", node=name, error=str(error))
            return
        self._running[name] = _Running(vch, node, asyncio.create_task(_run(name, node), name=f"virtual node {name}"))

    async def drain(self, name: str) -> None:
        """Returns when neither Pods nor VMs nor the Node of this VCH are left."""
        if running := self._running.get(name):
            await running.node.drain()
            await self.forget(name)

    async def forget(self, name: str) -> None:
        """Stop running a virtual node; Pods, VMs and Node stay."""
        if running := self._running.pop(name, None):
            running.task.cancel()
            await asyncio.gather(running.task, return_exceptions=True)

    async def close(self) -> None:
        await asyncio.gather(*(self.forget(name) for name in list(self._running)))


async def _run(name: str, node: Node) -> None:
    """A defect in one virtual node neither ends it for good nor touches the others."""
    while True:
        try:
            await node.run()
        except Exception:
            log.exception("virtual node failed", node=name)
            await asyncio.sleep(_AFTER_DEFECT)


def _same(old: KubeObject, new: KubeObject) -> bool:
    return bool(old["metadata"]["uid"] == new["metadata"]["uid"] and old["spec"] == new["spec"])
