"""The API server as far as one Node and its Lease are concerned, and a node controller that writes them."""

import asyncio
import copy
import itertools
from typing import Any

from provider import errors
from provider.node import NodeHealth, NodeOffer
from provider.node_controller import NodeController
from tests.builders import make_spec
from tests.pod_controller.hurried_loop import LoopClock

KubeObject = dict[str, Any]
NAME = "vch"


class FakeNodes:
    """`kube.nodes.NodeWrites`. Each write is kept with its instant."""

    def __init__(self, clock: LoopClock) -> None:
        self.node: KubeObject | None = None
        self.lease: KubeObject | None = None
        self.written: list[tuple[str, float]] = []
        self.bodies: list[tuple[str, KubeObject]] = []
        self.failing: set[str] = set()  # calls
        self.hangs = 0.0  # seconds that writing a status takes
        self._clock = clock
        self._uids = 0

    def forget_node(self) -> None:
        """An admin deletes it; the garbage collector takes its Lease."""
        self.node = self.lease = None

    def instants(self, call: str) -> list[float]:
        return [when for what, when in self.written if what == call]

    async def get_node(self, name: str) -> KubeObject | None:
        self._check("get_node")
        return copy.deepcopy(self.node)

    async def create_node(self, node: KubeObject) -> KubeObject:
        self._write("create_node", node)
        self._uids += 1
        self.node = copy.deepcopy({**node, "metadata": node["metadata"] | {"uid": f"node-{self._uids}"}})
        return self.node

    async def apply_node(self, node: KubeObject) -> KubeObject:
        self._write("apply_node", node)
        if self.node is None:
            await self.create_node(node)
        assert self.node is not None
        return copy.deepcopy(self.node)

    async def apply_node_status(self, node: KubeObject) -> KubeObject:
        await asyncio.sleep(self.hangs)
        self._write("status", node)
        assert self.node is not None
        self.node["status"] = copy.deepcopy(node["status"])
        return copy.deepcopy(self.node)

    async def patch_node(self, name: str, patch: KubeObject) -> KubeObject:
        self._write("patch_node", patch)
        return {}

    async def delete_node(self, name: str) -> None:
        self._write("delete_node", {})
        self.forget_node()

    async def renew_lease(self, lease: KubeObject) -> None:
        self._check("renew_lease")
        if self.lease is None:
            raise errors.KubeNotFound("no such Lease", code=404)
        self._write("renew_lease", lease)
        self.lease = copy.deepcopy(lease)

    async def create_lease(self, lease: KubeObject) -> None:
        self._write("create_lease", lease)
        self.lease = copy.deepcopy(lease)

    def _check(self, call: str) -> None:
        if call in self.failing:
            raise errors.KubeUnavailable("down", code=503)

    def _write(self, call: str, body: KubeObject) -> None:
        self._check(call)
        self.written.append((call, self._clock.monotonic()))
        self.bodies.append((call, copy.deepcopy(body)))


class Heartbeat:
    """A node controller, and whether the rest of its virtual node stalls."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.kube = FakeNodes(self.clock)
        self.stalled = False
        self.controller: NodeController
        self._task: asyncio.Task[None]

    def start(self, address: str | None = "192.0.2.10") -> None:
        spec = make_spec(node={"address": address})
        self.controller = NodeController(NAME, spec, self.kube, self.clock, 10250, lambda _: None, lambda: self.stalled)
        self._task = asyncio.create_task(self.controller.run())

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def offers(self, **fields: Any) -> None:
        self.controller.report(NodeHealth(True, "VCHReady", "fine"), NodeOffer(**fields))

    def longest_gap(self) -> float:
        """Seconds between two heartbeats; the last one is followed by now."""
        beats = [
            *sorted((*self.kube.instants("create_lease"), *self.kube.instants("renew_lease"))),
            self.clock.monotonic(),
        ]
        return max(after - before for before, after in itertools.pairwise(beats))
