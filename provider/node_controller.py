"""The virtual node's heartbeat: the Node object, its status and its Lease, kept as they should be for ever.

What they contain is decided in `node`. Nothing here waits for vSphere or for a guest, so that neither can make a node
look dead. The Node is never deleted here but on `remove`: deleting a Node deletes its Pods (invariant I-54). But a
heartbeat must not say that somebody looks after the Pods when nobody does: it stops while `stalled` (I-52).
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from provider import errors, metrics, node
from provider.api.vch import VirtualContainerHostSpec
from provider.clock import Clock
from provider.node import Conditions, NodeHealth, NodeOffer

KubeObject = dict[str, Any]

_RETRY_SECONDS = 2.0


class NodeKube(Protocol):
    """`kube.nodes.NodeWrites`."""

    async def get_node(self, name: str) -> KubeObject | None: ...

    async def create_node(self, node: KubeObject) -> KubeObject: ...

    async def apply_node(self, node: KubeObject) -> KubeObject: ...

    async def apply_node_status(self, node: KubeObject) -> KubeObject: ...

    async def patch_node(self, name: str, patch: KubeObject) -> KubeObject: ...

    async def delete_node(self, name: str) -> None: ...

    async def renew_lease(self, lease: KubeObject) -> None: ...

    async def create_lease(self, lease: KubeObject) -> None: ...


class NodeController:
    """One virtual node's."""

    def __init__(
        self,
        name: str,
        spec: VirtualContainerHostSpec,
        kube: NodeKube,
        clock: Clock,
        port: int,
        on_change: Callable[[errors.KubeError | None], None],
        stalled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._stalled = stalled
        self._name = name
        self._spec = spec
        self._kube = kube
        self._clock = clock
        self._port = port
        self._address = spec.node.address  # None: not known yet
        self._on_change = on_change
        self._health = NodeHealth()
        self._offer = NodeOffer()
        self._conditions: Conditions | None = None
        self._changed = asyncio.Event()
        self._uid = ""
        self._registered = asyncio.Event()
        self._log = structlog.get_logger(node=name)

    def report(self, health: NodeHealth, offer: NodeOffer) -> None:
        """What the node's conditions say, and what it offers, from now on."""
        if (health, offer) != (self._health, self._offer):
            self._health, self._offer = health, offer
            self._changed.set()

    def addressed(self, address: str) -> None:
        """The node's InternalIP from now on."""
        if address != self._address:
            self._address = address
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled. Two loops: a status that cannot be written must not hold up the heartbeat."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_status())
            group.create_task(self._keep_lease())

    async def cordon(self) -> None:
        """No new Pods."""
        with contextlib.suppress(errors.KubeNotFound):
            await self._kube.patch_node(self._name, {"spec": {"unschedulable": True}})

    async def remove(self) -> None:
        """The end of the virtual node."""
        await self._kube.delete_node(self._name)

    async def _keep_status(self) -> None:
        while True:
            self._changed.clear()
            seconds = node.STATUS_SECONDS
            try:
                if self._stalled():  # a status counts as a heartbeat too
                    seconds = node.RENEW_SECONDS
                else:
                    await self._write()
                    self._on_change(None)
            except errors.KubeError as error:
                self._log.warning("node status not written", error=str(error))
                self._on_change(error)
                seconds = _RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()

    async def _keep_lease(self) -> None:
        while True:
            seconds = node.RENEW_SECONDS
            try:
                await self._registered.wait()
                if self._stalled():
                    self._log.error("no heartbeat: the loop that looks after the Pods makes no progress")
                    metrics.node.HEARTBEATS_WITHHELD.labels(self._name).inc()
                else:
                    await self._renew()
            except errors.KubeError as error:
                self._log.warning("lease not renewed", error=str(error))
                seconds = _RETRY_SECONDS
            await asyncio.sleep(seconds)

    async def _renew(self) -> None:
        lease = node.lease(self._name, self._uid, self._clock.now())
        try:
            await self._kube.renew_lease(lease)
            return
        except errors.KubeNotFound:
            found = await self._kube.get_node(self._name)
        if found is not None and found["metadata"]["uid"] == self._uid:
            await self._kube.create_lease(lease)
            return
        # The Lease went with its Node. An admin who deletes the Node gets it back, as with any kubelet that runs on
        # (invariant I-55).
        self._log.warning("node object is gone: made anew")
        self._registered.clear()
        self._changed.set()

    async def _write(self) -> None:
        found = await self._kube.get_node(self._name)
        if found is None:
            with contextlib.suppress(errors.KubeConflict):
                await self._kube.create_node(node.new_node(self._name, self._spec))
        if self._conditions is None:
            self._conditions = Conditions.of_node(found)
        now = self._clock.now()
        self._conditions = self._conditions.updated(node.node_conditions(self._health), now)
        applied = await self._kube.apply_node(node.node_metadata(self._name, self._spec))
        conditions = self._conditions.objects(now)
        status = node.node_status(self._name, self._address, conditions, self._port, self._offer, found)
        await self._kube.apply_node_status(status)
        self._uid = applied["metadata"]["uid"]
        self._registered.set()
