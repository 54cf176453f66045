"""The guests: a link that connects while its VM runs, and a kubelet behind it that starts and ends what it is fed."""

import asyncio
from collections.abc import Callable
from typing import Any

from provider.errors import GuestRefused
from provider.guest.link import LinkState
from provider.pod_controller.surroundings import RelayHandler
from provider.podvm import PodVM, PowerState
from provider.relay import STRATEGIC_MERGE, RelayRequest
from tests.pod_controller.fake_vsphere import FakeVSphere

KubeObject = dict[str, Any]

CONNECT_SECONDS = 0.1
START_SECONDS = 0.3
END_SECONDS = 2.0


class FakeGuests:
    """All guests. What their kubelets know is theirs and outlives a link."""

    def __init__(self, vsphere: FakeVSphere) -> None:
        self.refuse = False  # to serve
        self.reachable = True
        self.services_known = True  # where not, no guest is fed
        self.end_pods = True  # when they are deleted
        self.exit_phase = ""  # phase in which the containers end by themselves, soon after their start
        self.fed: dict[str, list[KubeObject]] = {}  # by moref: all Pods that were fed
        self.firewalls: dict[str, list[KubeObject]] = {}  # by moref: those that were fed with them
        self.relays: dict[str, RelayHandler] = {}  # by moref
        self.reported: dict[str, str] = {}  # by moref: the phase that the kubelet has told
        self.lease: KubeObject | None = None  # what the agents of Pods without an address say at each connect
        self.links: dict[str, FakeLink] = {}  # by moref: the newest
        self._vsphere = vsphere

    def link(self, vm: PodVM, relay: RelayHandler, on_change: Callable[[LinkState], None]) -> "FakeLink":
        assert vm.pin == f"sha256:{vm.moref}", "only the pinned certificate is trusted"
        self.relays[vm.moref] = relay
        return FakeLink(self, vm, relay, on_change)

    def alive(self, moref: str) -> bool:
        vm = self._vsphere.vms.get(moref)
        return self.reachable and vm is not None and vm.power_state is PowerState.ON


class FakeLink:
    """`surroundings.Link`."""

    def __init__(
        self, guests: FakeGuests, vm: PodVM, relay: RelayHandler, on_change: Callable[[LinkState], None]
    ) -> None:
        self._guests = guests
        self._vm = vm
        self._relay = relay
        self._on_change = on_change
        self._pod: KubeObject | None = None
        self._fed = asyncio.Event()
        self._begun: set[asyncio.Task[Any]] = set()
        guests.links[vm.moref] = self

    def tell(self, lease: KubeObject) -> asyncio.Task[int]:
        """The agent's word on the Pod's address."""
        return self._ask("reportLease", lease)

    def feed(self, objects: list[KubeObject]) -> None:
        assert [objects[0]["kind"], objects[1]["kind"], objects[-1]["kind"]] == ["Node", "Firewall", "Pod"]
        self._pod = objects[-1]
        self._guests.firewalls.setdefault(self._vm.moref, []).append(objects[1])
        self._guests.fed.setdefault(self._vm.moref, []).append(objects[-1])
        self._fed.set()

    async def starved(self) -> None:
        if self._guests.services_known:
            await asyncio.Event().wait()

    async def run(self) -> None:
        state = LinkState.CONNECTING
        while True:
            await asyncio.sleep(CONNECT_SECONDS)
            if self._guests.refuse:
                self._on_change(LinkState.REFUSED)
                raise GuestRefused("CloneOfClone: this machine is another's clone")
            now = LinkState.CONNECTED if self._guests.alive(self._vm.moref) else LinkState.LOST
            if now is not state:
                state = now
                self._on_change(state)
                if now is LinkState.CONNECTED and not self._vm.pod_addresses and self._guests.lease:
                    self.tell(self._guests.lease)
            if state is LinkState.CONNECTED and self._fed.is_set() and self._guests.services_known:
                await self._sync(self._pod or {})

    async def _sync(self, pod: KubeObject) -> None:
        """One round of the kubelet."""
        moref, guests = self._vm.moref, self._guests
        phase = guests.reported.get(moref)
        if pod["status"].get("phase") in ("Succeeded", "Failed") and phase is None:
            return
        if phase is None:
            await asyncio.sleep(START_SECONDS)
            await self._report("Running")
        elif guests.exit_phase and phase == "Running":
            await self._report(guests.exit_phase)
        elif pod["metadata"].get("deletionTimestamp") and guests.end_pods:
            if phase == "Running":
                await asyncio.sleep(END_SECONDS)
                await self._report("Succeeded")
            # Once begun it is carried out, whatever becomes of the link.
            await asyncio.shield(self._ask("deletePod", {"preconditions": {"uid": self._vm.identity.uid}}))

    async def _report(self, phase: str) -> None:
        status = {"phase": phase, "containerStatuses": [_container(phase)], "reason": None, "message": None}
        if await self._ask("patchStatus", {"status": status}) == 200:
            self._guests.reported[self._vm.moref] = phase

    def _ask(self, verb: str, body: KubeObject) -> asyncio.Task[int]:
        who = self._vm.identity

        async def ask() -> int:
            reply = await self._relay(RelayRequest(verb, who.namespace, who.name, STRATEGIC_MERGE, body))
            return reply.code

        task = asyncio.create_task(ask())
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        return task


def _container(phase: str) -> KubeObject:
    state: KubeObject = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    if phase != "Running":
        state = {"terminated": {"exitCode": 0 if phase == "Succeeded" else 1, "reason": phase}}
    return {
        "name": "main",
        "image": "vch.dev/busybox:1",
        "imageID": "sha256:1",
        "containerID": "containerd://1",
        "ready": phase == "Running",
        "restartCount": 0,
        "state": state,
    }
