"""Dangling VMs: pod VMs of ours that no Pod stands behind, found by comparing, destroyed only when that is certain.

Certain means: both pictures are complete, the VM has been without a Pod for 40 s, a live read of the API server
confirms it, and not too many are in that state at once (invariants I-06, I-39, I-42). The life of a VM with a Pod is
the pod controller's; this is for what was left behind while nobody looked.
"""

import asyncio
from typing import Any, Protocol

import structlog

from provider import errors, metrics
from provider.brake import ABSENT_SECONDS, Brake
from provider.clock import Clock
from provider.pod_controller.inventory import Inventory
from provider.podvm import PodVM, VSphere

KubeObject = dict[str, Any]

PASS_SECONDS = 20.0


class Pods(Protocol):
    """What must be known of Pods; `pod_controller.PodController` is it."""

    listed: bool

    def knows(self, uid: str) -> bool: ...

    def pod_seen(self, pod: KubeObject) -> None: ...


class PodReads(Protocol):
    """A live read."""

    async def get_pod(self, namespace: str, name: str) -> KubeObject | None: ...


class Collector:
    """Looks for dangling VMs of one virtual node."""

    def __init__(
        self, node: str, inventory: Inventory, pods: Pods, reads: PodReads, vsphere: VSphere, clock: Clock
    ) -> None:
        self._node = node
        self._inventory = inventory
        self._pods = pods
        self._reads = reads
        self._vsphere = vsphere
        self._brake = Brake(clock)
        self._clock = clock
        self._suspects: dict[str, float] = {}  # by moref: the instant since which it has no Pod
        self._log = structlog.get_logger(node=node)

    async def run(self) -> None:
        """A pass every now and then, until cancelled."""
        while True:
            await asyncio.sleep(PASS_SECONDS)
            await self.look()

    def dangling(self) -> int | None:
        """How many there were at the last look; None: nobody could tell."""
        return len(self._suspects) if self._pods.listed and self._inventory.synced else None

    async def look(self) -> None:
        """One pass."""
        if not (self._pods.listed and self._inventory.synced):
            self._suspects.clear()
            return
        dangling = {vm.moref: vm for vm in self._dangling()}
        now = self._clock.monotonic()
        self._suspects = {moref: self._suspects.get(moref, now) for moref in dangling}
        certain = [vm for moref, vm in dangling.items() if now >= self._suspects[moref] + ABSENT_SECONDS]
        if not self._brake.allows(len(certain), len(self._inventory.vms())):
            metrics.vms.BRAKES.labels(self._node).inc()
            self._log.error("brake: suspiciously many dangling vms", vms=len(certain))
            return
        for vm in certain:
            try:
                await self._end(vm)
            except errors.ProviderError as error:
                self._log.warning("dangling vm not destroyed yet", vm=vm.name, reason=error.reason, error=str(error))

    def _dangling(self) -> list[PodVM]:
        orphans = [vm for vm in self._inventory.vms() if not self._pods.knows(vm.identity.uid)]
        # A second VM of a UID is never fed; should there be one, it goes.
        doubles = [vm for uid in self._inventory.uids() for vm in self._inventory.duplicates(uid) if vm.pin is None]
        return [*orphans, *(vm for vm in doubles if self._pods.knows(vm.identity.uid))]

    async def _end(self, vm: PodVM) -> None:
        if vm.moref not in {each.moref for each in self._dangling()}:
            return  # it has become a Pod's VM while others were ended
        who = vm.identity
        if not self._pods.knows(who.uid):
            pod = await self._reads.get_pod(who.namespace, who.name)
            if pod is not None and pod["metadata"]["uid"] == who.uid:
                self._log.warning("pod of a vm was unknown", vm=vm.name, pod=f"{who.namespace}/{who.name}", uid=who.uid)
                self._pods.pod_seen(pod)
                return
        self._log.warning("destroying dangling vm", vm=vm.name, moref=vm.moref, uid=who.uid)
        await self._vsphere.power_off(vm.moref)
        await self._vsphere.destroy(vm.moref)
        self._inventory.destroyed(vm.moref)
        metrics.vms.DANGLING_DESTROYED.labels(self._node).inc()
