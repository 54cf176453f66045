"""One VirtualContainerHost as a virtual node: its parts, put together and kept running.

Heartbeat and kubelet API (`kubelet_serving`) run from the first moment to the last; what needs vCenter (`node_engine`,
the neighbour) is connected again and again until that works, and the VCH's status and the Node's conditions say how far
it is.
"""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from provider import errors, metrics, node_numbers
from provider.api.conditions import ConditionType
from provider.api.vch import DeletionPolicy, VirtualContainerHostSpec
from provider.backoff import Backoff
from provider.guest_directory import ControllersGuests
from provider.kube.client import KubeObject
from provider.kube.nodes import NodeWrites
from provider.kube.writes import PodWrites
from provider.kubelet.node_series import Machine
from provider.kubelet_serving import KubeletServing
from provider.metrics.state import NodeFacts
from provider.node_controller import NodeController
from provider.node_engine import NodeEngine
from provider.own_share import OwnShare
from provider.process import Process
from provider.vch_status import VCHStatus, blame

_LONGEST_RETRY = 20.0
"""Seconds after which is noticed at the latest that something has been mended in vCenter."""
_SAME_LOGIN_AGAIN = 60.0
"""Seconds until a login that was refused is tried again as it is: vCenter locks an account after five refusals within
three minutes."""
_LOOK_AT_SECRET = 5.0
_DRAIN_LOOK = 2.0


class VirtualNode:
    """Runs one VCH. `vch` is the object as the API server has it, `process` is under the fence of its Lease."""

    def __init__(self, process: Process, vch: KubeObject) -> None:
        self.name: str = vch["metadata"]["name"]
        self._process = process
        self._vch = vch
        self._spec = VirtualContainerHostSpec.model_validate(vch["spec"])
        self._guests = ControllersGuests()
        self._status = VCHStatus.of_object(vch.get("status") or {})
        self._status_changed = asyncio.Event()
        self._engine: NodeEngine | None = None
        self._retiring = False
        self._share = OwnShare(metrics.state.count)
        self._node = NodeController(
            self.name,
            self._spec,
            NodeWrites(process.client),
            process.clock,
            process.kubelet_port,
            self._node_written,
            lambda: self._engine is not None and self._engine.stalled(),
        )
        self._address = self._spec.node.address
        self._has_address = asyncio.Event()
        self._serving = KubeletServing(
            process, vch, self._spec.node.address, self._guests, self._machine, self._status_seen, self._addressed
        )
        self._log = structlog.get_logger(node=self.name)

    async def run(self) -> None:
        """Until cancelled; Pods, VMs and the Node stay as they are then."""
        await self._hold_vch()
        with metrics.state.shown(self.name, self._spec.v_center.server, self._facts):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._node.run(), name=f"heartbeat of {self.name}")
                group.create_task(self._serving.run(), name=f"kubelet API of {self.name}")
                group.create_task(self._keep_engine(), name=f"engine of {self.name}")
                group.create_task(self._keep_status(), name=f"status of {self.name}")

    async def drain(self) -> None:
        """Before the end of the virtual node, as `spec.deletionPolicy` says.

        Drain: its Pods end with their grace; Refuse: they are waited for; then parents and standby clones go. Orphan:
        everything stays in vCenter as it is. Returns when that is done.
        """
        policy = self._spec.deletion_policy
        self._log.info("the VirtualContainerHost is deleted", policy=policy.value)
        if policy is DeletionPolicy.ORPHAN:
            return
        await self._node.cordon()
        pods = PodWrites(self._process.client)
        while True:
            listed = await self._process.objects.list_pods(self.name)
            if policy is DeletionPolicy.DRAIN:
                for uid, pod in listed.items():
                    with contextlib.suppress(errors.KubeNotFound, errors.KubeConflict):
                        await pods.delete_pod(pod.namespace, pod.name, uid, None)
            self._become(self._status.ending(policy is DeletionPolicy.REFUSE, len(listed)))
            if not listed and self._without_vms():
                break
            await asyncio.sleep(_DRAIN_LOOK)

    async def remove(self) -> None:
        """The end, after `drain`, when nothing would make the Node anew: it goes, and so may the VCH."""
        await self._node.remove()
        await self._process.objects.let_vch_go(self.name, self._vch["metadata"]["uid"])
        self._log.info("virtual node removed")

    async def _hold_vch(self) -> None:
        """The finalizer comes before anything that would be left behind without it."""
        backoff = Backoff()
        while True:
            try:
                return await self._process.objects.hold_vch(self.name, self._vch["metadata"]["uid"])
            except errors.KubeError as error:
                self._log.warning("no finalizer yet", reason=error.reason, error=str(error))
                await asyncio.sleep(min(backoff.failed(error, 0.0), _LONGEST_RETRY))

    def _without_vms(self) -> bool:
        """vCenter shows none, or there cannot be any, since no name was ever resolved. A vCenter that does not answer
        is waited for: VMs that nobody knows of any more would run on for ever."""
        if self._status.first_ready is None:
            return True
        if self._engine is None or self._engine.pods() != 0:
            return False
        self._retiring = True
        self._engine.retire()
        return self._engine.empty()

    def _facts(self) -> NodeFacts:
        numbers = self._engine.numbers() if self._engine is not None else None
        server = self._spec.v_center.server
        return node_numbers.facts(self.name, server, self._status, numbers, self._certificate_expires())

    def _machine(self) -> Machine:
        numbers = self._engine.numbers() if self._engine is not None else None
        return node_numbers.machine(self._status, numbers, self._share, self._certificate_expires())

    def _certificate_expires(self) -> float | None:
        """In unix seconds, of the kubelet API's."""
        expires = self._serving.certificate_expires
        return expires.timestamp() if expires is not None else None

    # What the status is made of.

    def _become(self, status: VCHStatus) -> None:
        status = status.with_ready(self._process.clock.now())
        if status != self._status:
            self._status = status
            self._node.report(status.health(), status.offered())
            self._status_changed.set()

    def _node_written(self, error: errors.KubeError | None) -> None:
        now = self._process.clock.now()
        kind = ConditionType.NODE_REGISTERED
        if error is None:
            self._become(self._status.reached(kind, "NodeRegistered", f"Node {self.name} is up to date", now))
        else:
            self._become(self._status.failed(kind, error, now))

    async def _keep_status(self) -> None:
        generation = int(self._vch["metadata"].get("generation") or 0)
        backoff = Backoff()
        while True:
            self._status_changed.clear()
            try:
                await self._process.objects.apply_vch_status(self.name, self._status.object(generation, self.name))
                backoff.succeeded()
            except errors.KubeNotFound:
                self._log.info("the VirtualContainerHost is gone: no status to write")
            except errors.KubeError as error:
                self._log.warning("status not written", reason=error.reason, error=str(error))
                await asyncio.sleep(min(backoff.failed(error, 0.0), _LONGEST_RETRY))
                continue
            await self._status_changed.wait()

    # The parts that are tried again for ever.

    async def _keep_engine(self) -> None:
        backoff = Backoff()
        clock = self._process.clock
        address = await self._known_address()
        while True:
            engine = NodeEngine(
                self._process, self._vch, self._spec, address, self._guests, self._status_seen, self._status.counts
            )
            self._engine = engine
            if self._retiring:
                engine.retire()
            began = clock.monotonic()
            try:
                await engine.run()
            except errors.ProviderError as error:
                if clock.monotonic() - began > _LONGEST_RETRY:
                    backoff.succeeded()
                self._become(self._status.blamed(error, clock.now()))
                delay = min(backoff.failed(error, clock.monotonic()), _LONGEST_RETRY)
                if isinstance(error, errors.InvalidLogin):
                    delay = _SAME_LOGIN_AGAIN
                self._log.warning(
                    "virtual node is not connected to its vCenter",
                    condition=blame(error).value,
                    reason=error.reason,
                    error=str(error),
                    retry_in=round(delay, 1),
                )
                await self._pause(engine, error, delay)

    async def _pause(self, engine: NodeEngine, error: errors.ProviderError, seconds: float) -> None:
        """Before the next attempt; cut short when a login that was refused is another one now."""
        until = self._process.clock.monotonic() + seconds
        while (left := until - self._process.clock.monotonic()) > 0:
            await asyncio.sleep(min(left, _LOOK_AT_SECRET))
            if isinstance(error, errors.InvalidLogin) and await engine.login_changed():
                return

    def _status_seen(self, change: Callable[[VCHStatus], VCHStatus]) -> None:
        self._become(change(self._status))

    # The node's address.

    def _addressed(self, address: str) -> None:
        self._address = address
        self._node.addressed(address)
        self._has_address.set()

    async def _known_address(self) -> str:
        await self._has_address.wait()
        assert self._address is not None
        return self._address
