"""All Pods and pod VMs of one virtual node: each fact goes to the worker of its UID, and every UID has one worker.

Facts come from the Pod watch, from the inventory watch, and from `resync`, which compares with a list of Pods: a watch
that is started again by listing (kopf's) says nothing of Pods that went meanwhile, and one that has died in silence
nothing at all (invariant I-37). Absence from a list alone ends nothing: it must last, and is confirmed by a live read
(I-39), and many at once are put off (I-42).
"""

import asyncio
import math
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import structlog

from provider import errors, metrics, pod_status
from provider.brake import ABSENT_SECONDS, Brake
from provider.kube.operator_objects import ListedPod
from provider.pod_controller.surroundings import Surroundings
from provider.pod_controller.worker import PodWorker
from provider.podvm import InventoryEvent, Synced

KubeObject = dict[str, Any]

_RESYNC_SECONDS = 60.0
STALLED_SECONDS = 180.0
"""As long as a kubelet lets its own loop hang before its Node is NotReady (PLEG's threshold)."""
_SETTLE_SECONDS = 1.0
"""A list that a watch begins with comes as many events; they are waited for before comparing."""


class PodLists(Protocol):
    """`kube.operator_objects.OperatorObjects`."""

    async def list_pods(self, node: str) -> Mapping[str, ListedPod]: ...


class PodController:
    """The workers of one virtual node."""

    def __init__(self, surroundings: Surroundings, lists: PodLists) -> None:
        self.listed = False  # every Pod of the node is known: only now is a VM without one conspicuous
        self._here = surroundings
        self._lists = lists
        self._workers: dict[str, PodWorker] = {}
        self._names: dict[tuple[str, str], set[str]] = {}  # UIDs by namespace and name
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._resync = asyncio.Event()
        self._brake = Brake(surroundings.clock)
        self._absent: dict[str, float] = {}  # UIDs that are in no list, since when
        self._round_at: float | None = None  # the last round of `run` began; None: it does not run
        self._log = structlog.get_logger(node=surroundings.node)

    # Facts.

    def pod_seen(self, pod: KubeObject) -> None:
        """A Pod bound to the node is there, new or changed."""
        metadata = pod["metadata"]
        for namesake in self._namesakes(metadata["namespace"], metadata["name"], metadata["uid"]):
            # A name is given to one object at a time: the older one is gone, whether we were told or not.
            if namesake.pod and not pod_status.later(namesake.pod, pod):
                self.pod_deleted(metadata["uid"])
                return
            namesake.gone()
        self._worker(metadata["uid"], metadata["namespace"], metadata["name"]).see(pod)

    def pod_deleted(self, uid: str) -> None:
        """The watch has seen the object go."""
        if worker := self._workers.get(uid):
            worker.gone()

    def pods_relisted(self) -> None:
        """The watch has started over; compare soon."""
        self._resync.set()

    def inventory_changed(self, event: InventoryEvent) -> None:
        """vSphere shows something new."""
        here = self._here
        concerned = here.inventory.apply(event, here.clock.monotonic())
        if isinstance(event, Synced):
            self.hurry()
            return
        for uid in concerned:
            worker = self._workers.get(uid)
            if worker is None:
                continue
            worker.wake()
            for namesake in self._namesakes(worker.namespace, worker.name, uid):
                namesake.wake()  # it may have waited for this VM to be off

    def hurry(self) -> None:
        """Something changed that may make what failed succeed: a parent is ready, capacity is free, a class is
        there."""
        for each in self._workers.values():
            each.hurry()

    # What is known, for the collector and the kubelet API.

    def knows(self, uid: str) -> bool:
        """Somebody takes care of this UID."""
        return uid in self._workers

    def workers(self) -> Iterator[PodWorker]:
        yield from self._workers.values()

    def find(self, namespace: str, name: str, uid: str | None) -> PodWorker | None:
        """The worker of the Pod that has this name now."""
        for found in self._names.get((namespace, name), ()):
            if self._workers[found].pod and uid in (None, found):
                return self._workers[found]
        return None

    def stalled(self) -> bool:
        """`run` hangs (invariant I-52). That vCenter or a guest does, is none of it: it waits for neither."""
        return self._round_at is not None and self._here.clock.monotonic() > self._round_at + STALLED_SECONDS

    # Loops.

    async def run(self) -> None:
        """Until cancelled; VMs stay as they are then."""
        try:
            while True:
                self._round_at = self._here.clock.monotonic()
                await self._compare()
                self._resync.clear()
                try:
                    async with asyncio.timeout(self._until_next()):
                        await self._resync.wait()
                    await asyncio.sleep(_SETTLE_SECONDS)
                except TimeoutError:
                    continue
        finally:
            self._round_at = None
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def idle(self) -> None:
        """Returns when no worker is left: neither Pods nor VMs."""
        while tasks := list(self._tasks.values()):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _compare(self) -> None:
        try:
            listed = await self._lists.list_pods(self._here.node)
            await self._learn_missed(listed)
            await self._end_vanished(listed)
            self._open()
        except errors.KubeError as error:
            self._log.warning("pods cannot be listed", error=str(error))

    def _open(self) -> None:
        """Every Pod is known: those that were taken on before are in the books before a new one is judged."""
        if self.listed:
            return
        self.listed = True
        for worker in self._workers.values():
            worker.keep_books()
        self._here.admission.open = True
        self.hurry()

    def _until_next(self) -> float:
        if not self.listed:
            return _SETTLE_SECONDS
        ripe = min(self._absent.values(), default=math.inf) + ABSENT_SECONDS - self._here.clock.monotonic()
        return min(_RESYNC_SECONDS, max(ripe, _SETTLE_SECONDS))

    async def _learn_missed(self, listed: Mapping[str, ListedPod]) -> None:
        missed = [pod for uid, pod in listed.items() if self._is_news(uid, pod)]
        for pod in await asyncio.gather(*(self._here.pods.get_pod(each.namespace, each.name) for each in missed)):
            if pod is not None and pod["spec"].get("nodeName") == self._here.node:
                self.pod_seen(pod)

    def _is_news(self, uid: str, pod: ListedPod) -> bool:
        known = worker.pod if (worker := self._workers.get(uid)) else None
        return known is None or pod_status.later(known, {"metadata": {"resourceVersion": pod.version}})

    async def _end_vanished(self, listed: Mapping[str, ListedPod]) -> None:
        now = self._here.clock.monotonic()
        absent = [worker for worker in self._workers.values() if worker.pod and worker.uid not in listed]
        self._absent = {worker.uid: self._absent.get(worker.uid, now) for worker in absent}
        if not self._brake.allows(len(absent), len(self._workers)):
            metrics.vms.BRAKES.labels(self._here.node).inc()
            self._log.error("brake: suspiciously many pods vanished at once", vanished=len(absent))
            return
        for worker in absent:
            if now < self._absent[worker.uid] + ABSENT_SECONDS:
                continue
            found = await self._here.pods.get_pod(worker.namespace, worker.name)
            if found is None or found["metadata"]["uid"] != worker.uid:
                worker.gone()

    # Workers.

    def _namesakes(self, namespace: str, name: str, uid: str) -> list[PodWorker]:
        return [self._workers[other] for other in self._names.get((namespace, name), ()) if other != uid]

    def take_over(self, uid: str, namespace: str, name: str) -> None:
        """A VM whose Pod is known to be gone: its worker ends it."""
        self._worker(uid, namespace, name).wake()

    def _worker(self, uid: str, namespace: str, name: str) -> PodWorker:
        worker = self._workers.get(uid)
        if worker is None:
            worker = self._workers[uid] = PodWorker(self._here, uid, namespace, name)
            self._names.setdefault((namespace, name), set()).add(uid)
            task = asyncio.create_task(self._run(worker), name=f"pod {namespace}/{name}")
            self._tasks[uid] = task
            for vm in self._here.inventory.running_namesakes(namespace, name, uid):
                if vm.identity.uid not in self._workers:
                    self.take_over(vm.identity.uid, namespace, name)
        return worker

    async def _run(self, worker: PodWorker) -> None:
        try:
            while True:
                try:
                    await worker.run()
                    return
                except Exception:
                    # A defect must not leave a Pod without a worker (invariant I-23).
                    self._log.exception("worker failed", pod=f"{worker.namespace}/{worker.name}", uid=worker.uid)
                    await asyncio.sleep(_SETTLE_SECONDS)
        finally:
            if self._workers.get(worker.uid) is worker:
                self._forget(worker)

    def _forget(self, worker: PodWorker) -> None:
        del self._workers[worker.uid], self._tasks[worker.uid]
        self._here.release(worker.uid)
        self._here.admission.forget(worker.uid)
        for uid in self._here.admission.waiting():
            if uid in self._workers:
                self._workers[uid].wake()
        name = (worker.namespace, worker.name)
        self._names[name].discard(worker.uid)
        for namesake in self._namesakes(*name, worker.uid):
            namesake.wake()
        if not self._names[name]:
            del self._names[name]
