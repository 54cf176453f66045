"""All Pods and pod VMs of one virtual node: each fact goes to the worker of its UID, and every UID has one worker.

Facts come from the Pod watch, from the inventory watch, and from `resync`, which compares with a list of Pods: a watch
that is started again by listing (kopf's) says nothing of Pods that went meanwhile. Absence from a list alone ends
nothing: it is confirmed by a live read (invariant I-39), and many at once are put off (I-42).
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import structlog

from provider import errors, metrics, pod_status
from provider.brake import Brake
from provider.pod_controller.surroundings import Surroundings
from provider.pod_controller.worker import PodWorker
from provider.podvm import InventoryEvent, Synced

KubeObject = dict[str, Any]

_RESYNC_SECONDS = 60.0
_SETTLE_SECONDS = 1.0
"""A list that a watch begins with comes as many events; they are waited for before comparing."""


class PodLists(Protocol):
    """`kube.operator_objects.OperatorObjects`."""

    async def list_pods(self, node: str) -> Mapping[str, tuple[str, str]]: ...


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
        metrics.POD_VMS.labels(node=here.node).set(len(here.inventory))
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

    # Loops.

    async def run(self) -> None:
        """Until cancelled; VMs stay as they are then."""
        try:
            while True:
                await self._compare()
                self._resync.clear()
                try:
                    async with asyncio.timeout(_RESYNC_SECONDS if self.listed else _SETTLE_SECONDS):
                        await self._resync.wait()
                    await asyncio.sleep(_SETTLE_SECONDS)
                except TimeoutError:
                    continue
        finally:
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

    async def _learn_missed(self, listed: Mapping[str, tuple[str, str]]) -> None:
        missed = [where for uid, where in listed.items() if uid not in self._workers]
        for pod in await asyncio.gather(*(self._here.pods.get_pod(*where) for where in missed)):
            if pod is not None and pod["spec"].get("nodeName") == self._here.node:
                self.pod_seen(pod)

    async def _end_vanished(self, listed: Mapping[str, tuple[str, str]]) -> None:
        vanished = [worker for worker in self._workers.values() if worker.pod and worker.uid not in listed]
        if not self._brake.allows(len(vanished), len(self._workers)):
            metrics.BRAKES.labels(node=self._here.node).inc()
            self._log.error("brake: suspiciously many pods vanished at once", vanished=len(vanished))
            return
        for worker in vanished:
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
