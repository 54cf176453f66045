"""A vSphere of one folder, in memory. What it is asked in vain or against its rules is an error, as in the real one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace

from provider import errors, guestinfo
from provider.parentvm import ParentVM
from provider.podvm import (
    Appeared,
    CloneRequest,
    GuestPhase,
    GuestReport,
    InventoryEvent,
    Lost,
    PodVM,
    PowerState,
    Synced,
    Vanished,
    VCenterAbout,
)
from tests.builders import make_parent_vm

CLONE_SECONDS = 0.5
BOOT_SECONDS = 0.2
OFF_SECONDS = 0.3

Listener = Callable[[InventoryEvent], None]


@dataclass
class Behaviour:
    """How things go from now on."""

    agents_report: bool = True
    agents_refuse: bool = False
    watch_lags: float = 0.05  # seconds until the watch shows a change
    next_errors: dict[str, list[Exception]] = field(default_factory=dict)  # before the call has an effect
    lost_replies: dict[str, list[Exception]] = field(default_factory=dict)  # after it had its effect


class FakeVSphere:
    """What pod VMs need of `podvm.VSphere`, and their guests' agents as far as guestinfo shows them."""

    def __init__(self, done: list[tuple[str, str]]) -> None:
        self.vms: dict[str, PodVM] = {}
        self.parent: ParentVM | None = make_parent_vm()
        self.behaviour = Behaviour()
        self.requests: list[CloneRequest] = []
        self.broken_promises: list[str] = []
        self.listener: Listener | None = None
        self.down = False
        self._done = done
        self._names: set[str] = set()
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    # What a test does.

    def fail(self, call: str, *found: Exception) -> None:
        """The next calls fail without effect."""
        self.behaviour.next_errors.setdefault(call, []).extend(found)

    def lose_reply(self, call: str, *found: Exception) -> None:
        """The next calls work, but the caller is told of an error."""
        self.behaviour.lost_replies.setdefault(call, []).extend(found)

    def connect(self, listener: Listener) -> None:
        """A watch begins: the whole picture, then changes."""
        self.listener = listener
        for vm in self.vms.values():
            listener(Appeared(vm))
        listener(Synced())

    def disconnect(self) -> None:
        """The watch breaks."""
        listener, self.listener = self.listener, None
        if listener:
            listener(Lost(errors.VCenterUnreachable("the watch broke")))

    def of(self, uid: str) -> list[PodVM]:
        return [vm for vm in self.vms.values() if vm.identity.uid == uid]

    def running(self) -> list[PodVM]:
        return [vm for vm in self.vms.values() if vm.power_state is PowerState.ON]

    def change(self, moref: str, **fields: object) -> None:
        """Somebody changes a VM: us, or others behind our back."""
        self.vms[moref] = replace(self.vms[moref], **fields)  # type: ignore[arg-type]
        self._tell_later(moref)

    def tell(self, event: InventoryEvent) -> None:
        """What the watch says, whether it is so or not."""
        if self.listener:
            self.listener(event)

    def vanish(self, moref: str) -> None:
        vm = self.vms.pop(moref)
        self._names.discard(vm.name)
        self._tell_later(moref, vm.identity.uid)

    # VSphere.

    async def about(self) -> VCenterAbout:
        return VCenterAbout("8.0.3", "8.0.3.0", "instance")

    async def watch(self) -> AsyncIterator[InventoryEvent]:
        raise NotImplementedError
        yield

    async def clone(self, request: CloneRequest) -> str:
        self._begin("clone", request.uid)
        self.requests.append(request)
        if request.name in self._names:
            raise errors.NameTaken(f"{request.name} exists")
        if self.parent is None or not self.parent.frozen:
            raise errors.ParentNotFrozen("the parent is not frozen")
        self._names.add(request.name)
        self._count += 1
        moref = f"vm-{self._count}"
        # The task goes on in vCenter, whatever becomes of the one who asked.
        await asyncio.shield(self._later(CLONE_SECONDS, lambda: self._make(moref, request)))
        self._end("clone")
        return moref

    async def bind(self, moref: str, change_version: str, extra_config: Mapping[str, str]) -> None:
        self._begin("bind", moref)
        vm = self.vms.get(moref)
        if vm is None:
            raise errors.VMGone(moref)
        if vm.change_version != change_version or not vm.standby:
            raise errors.StandbyTaken(moref)
        whose = {key: extra_config[key] for key in (guestinfo.POD_NAMESPACE, guestinfo.POD_NAME, guestinfo.POD_UID)}
        identity = replace(vm.identity, namespace=whose[guestinfo.POD_NAMESPACE], name=whose[guestinfo.POD_NAME])
        identity = replace(identity, uid=whose[guestinfo.POD_UID])
        self.change(moref, identity=identity, change_version=f"{change_version}+")
        self._check_only_one(self.vms[moref])
        self._end("bind")

    async def pin(self, moref: str, fingerprint: str, namespace: str) -> None:
        self._begin("pin", moref)
        if moref not in self.vms:
            raise errors.VMGone(moref)
        self._check_promises(self.vms[moref])
        if namespace != self.vms[moref].identity.namespace:
            self.broken_promises.append(f"{moref} was put on the network of {namespace!r}")
        self.change(moref, pin=fingerprint, change_version=_next(self.vms[moref]))
        self._end("pin")

    async def power_off(self, moref: str) -> None:
        self._begin("power_off", moref)
        await asyncio.sleep(OFF_SECONDS)
        if moref in self.vms:
            self.change(moref, power_state=PowerState.OFF)
        self._end("power_off")

    async def destroy(self, moref: str) -> None:
        self._begin("destroy", moref)
        if moref in self.vms:
            if self.vms[moref].power_state is not PowerState.OFF:
                self.broken_promises.append(f"{moref} was destroyed while it ran")
            self.vanish(moref)
        self._end("destroy")

    async def close(self) -> None:
        return

    def _begin(self, call: str, what: str) -> None:
        self._done.append((call, what))
        if self.down:
            raise errors.VCenterUnreachable("no route to vCenter")
        if self.behaviour.next_errors.get(call):
            raise self.behaviour.next_errors[call].pop(0)

    def _end(self, call: str) -> None:
        if self.behaviour.lost_replies.get(call):
            raise self.behaviour.lost_replies[call].pop(0)

    def _make(self, moref: str, request: CloneRequest) -> None:
        vm = guestinfo.decode_pod_vm(
            moref, request.name, PowerState.ON, request.extra_config, host="host-1", change_version="1"
        )
        assert vm is not None
        self.vms[moref] = vm
        self._check_only_one(vm)
        self._tell_later(moref)
        if self.behaviour.agents_report:
            self._later(BOOT_SECONDS, lambda: self._report(moref))

    def _check_only_one(self, made: PodVM) -> None:
        """A Pod has one VM at every instant, whether anything runs in it or not."""
        if made.identity.uid and len(self.of(made.identity.uid)) > 1:
            self.broken_promises.append(f"Pod {made.identity.uid} got a second VM, {made.moref}")

    def _check_promises(self, vm: PodVM) -> None:
        """From the pin on containers may run."""
        for other in self.running():
            if other.pin is None or other.moref == vm.moref:
                continue
            if vm.standby or other.standby:
                continue  # nothing runs in one of them
            if other.identity.uid == vm.identity.uid:
                self.broken_promises.append(f"two VMs of Pod {vm.identity.uid}")
            elif (other.identity.namespace, other.identity.name) == (vm.identity.namespace, vm.identity.name):
                self.broken_promises.append(f"two Pods named {vm.identity.name} may run")
            for address in {other.address, *other.pod_addresses} & {vm.address, *vm.pod_addresses}:
                self.broken_promises.append(f"two VMs or Pods have the address {address}")

    def _report(self, moref: str) -> None:
        """The agent has thawed."""
        vm = self.vms.get(moref)
        if vm is None or vm.power_state is not PowerState.ON:
            return
        phase = GuestPhase.REFUSED if self.behaviour.agents_refuse else GuestPhase.READY
        told = json.loads(self.requests[-1].extra_config[guestinfo.IDENTITY])
        assert {"cloneId", "address", "seed", "hostname", "podNetwork"} <= told.keys()
        report = GuestReport(vm.clone_id, phase, f"sha256:{moref}", vm.address, 10350)
        self.change(moref, report=report, change_version=_next(vm))

    def _tell_later(self, moref: str, uid: str = "") -> None:
        def tell() -> None:
            if self.listener is None:
                return
            vm = self.vms.get(moref)
            self.listener(Appeared(vm) if vm else Vanished(uid, moref))

        self._later(self.behaviour.watch_lags, tell)

    def _later(self, seconds: float, what: Callable[[], None]) -> asyncio.Task[None]:
        async def do() -> None:
            await asyncio.sleep(seconds)
            what()

        task = asyncio.create_task(do())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _next(vm: PodVM) -> str:
    """Every change of the configuration raises the version; of a VM with a Pod nobody looks at it."""
    return f"{vm.change_version}+" if vm.change_version else ""
