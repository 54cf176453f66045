"""A virtual node's Pod controller and collector between a vSphere, an API server and guests that are all in memory."""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, cast

from provider.addresses import PodVMAddresses, parse_ranges
from provider.admission import Admission
from provider.brake import Losses
from provider.capacity import Resources
from provider.collector import Collector
from provider.guest.credentials import ClientCredentials
from provider.kube.objects import ObjectRef
from provider.leased_address import Leases
from provider.parentvm import ParentVM
from provider.pod_controller import Inventory, PodController, Surroundings
from provider.podvm import PodVM, PowerState
from provider.reachability import Reports
from provider.relay_controller import RelayController
from tests.builders import make_spec
from tests.pod_controller.fake_firewalls import FakeFirewalls
from tests.pod_controller.fake_guest import FakeGuests
from tests.pod_controller.fake_parents import FakeParents, FakeStandby
from tests.pod_controller.fake_pods import NODE, FakePods
from tests.pod_controller.fake_vsphere import FakeVSphere
from tests.pod_controller.hurried_loop import LoopClock


class World:
    """Everything there is. `done` is what was asked of vSphere and of the API server, in order."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.vsphere = FakeVSphere(self.done)
        self.pods = FakePods(self.done)
        self.pods.before_removal = lambda pod: self._check_vm_is_off(pod, "deleted")
        self.pods.before_end = lambda pod: self._check_vm_is_off(pod, "said to have ended")
        self.guests = FakeGuests(self.vsphere)
        self.parents = FakeParents(self.vsphere)
        self.standby = FakeStandby()
        self.rights_doubted = 0
        self.reports = Reports()
        self.offered = Resources(64000, 2**40, 1000)
        self.events = Events()
        self.firewalls = FakeFirewalls()
        self.clock = LoopClock()
        self.controller: PodController
        self._promises: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    def start(
        self, addresses: str = "10.0.0.5-10.0.0.250", pods: str = "10.1.0.5-10.1.0.250", *, leased: bool = False
    ) -> None:
        """A process begins: it knows nothing but what it is shown. `pods`: their own addresses, unless `leased`."""
        inventory = Inventory("c", "v")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        here = Surroundings(
            cluster="c",
            vch="v",
            node=NODE,
            node_labels={},
            node_address="192.0.2.10",
            spec=make_spec(**({"podNetwork": {"ipam": "DHCP", "portGroup": "pods"}} if leased else {})),
            addresses=PodVMAddresses(
                parse_ranges([addresses]),
                [] if leased else [parse_ranges([pods], field="spec.podNetwork.ranges")],
                inventory.addresses,
            ),
            inventory=inventory,
            parents=self.parents,
            standby=self.standby,
            admission=Admission(lambda _: self.offered),
            losses=Losses(self.clock),
            vsphere=cast("Any", self.vsphere),
            pods=self.pods,
            objects=cast("Any", NoObjects()),
            firewalls=self.firewalls,
            events=cast("Any", self.events),
            relay=RelayController(self.pods, NODE, "192.0.2.10"),
            leases=Leases(),
            credentials=ClientCredentials("PEM", context, context),
            link=self.guests.link,
            clock=self.clock,
            report_timeout=60.0,
            reports=self.reports,
            rights_in_doubt=self._doubt_rights,
        )
        self.controller = PodController(here, self.pods)
        collector = Collector(NODE, inventory, self.controller, self.pods, cast("Any", self.vsphere), self.clock)
        self._tasks = [asyncio.create_task(each.run()) for each in (self.controller, collector)]
        self.vsphere.connect(self.controller.inventory_changed)
        self.pods.watch = self.controller
        for pod in self.pods.stored.values():
            self.controller.pod_seen(pod)

    async def stop(self) -> None:
        """The process ends."""
        self.pods.watch = self.vsphere.listener = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def restart(self) -> None:
        await self.stop()
        self.start()

    def _doubt_rights(self) -> None:
        self.rights_doubted += 1

    def set_parent(self, parent: ParentVM | None) -> None:
        """The parent froze, thawed or went; the process is told as by `parent_controller`."""
        self.vsphere.parent = parent
        if self.vsphere.listener:
            self.controller.hurry()

    def cut_off(self) -> None:
        """The process does not reach the API server any more; users do."""
        self.pods.down, self.pods.watch = True, None

    def reach_again(self) -> None:
        """The watch starts over with a list."""
        self.pods.down, self.pods.watch = False, self.controller
        self.controller.pods_relisted()
        for pod in list(self.pods.stored.values()):
            self.controller.pod_seen(pod)

    # Time.

    async def until(self, condition: Callable[[], object], within: float = 60.0) -> None:
        """Time passes until this is so."""
        ends = self.clock.monotonic() + within
        while not condition():
            assert self.clock.monotonic() < ends, f"not so within {within} s; done: {self.done[-20:]}"
            await asyncio.sleep(0.01)

    async def passes(self, seconds: float) -> None:
        """So much time passes."""
        await asyncio.sleep(seconds)

    async def run_pod(self, name: str = "web", **spec: Any) -> PodVM:
        """A Pod is created and runs; its VM."""
        pod = self.pods.create(name, **spec)
        await self.until(lambda: self.pods.phase(name) == "Running")
        return self.vm(pod["metadata"]["uid"])

    # What can be seen.

    def vm(self, uid: str) -> PodVM:
        (found,) = self.vsphere.of(uid)
        return found

    def count(self, call: str, what: str = "") -> int:
        return len([each for each in self.done if each[0] == call and what in (each[1], "")])

    def touched(self) -> list[tuple[str, str]]:
        """What was asked of vSphere."""
        return [each for each in self.done if each[0] in ("clone", "bind", "pin", "power_off", "destroy")]

    def forget_done(self) -> None:
        self.done.clear()

    @property
    def broken_promises(self) -> list[str]:
        return [*self._promises, *self.vsphere.broken_promises, *self.pods.broken_promises]

    def _check_vm_is_off(self, pod: dict, what: str) -> None:
        """StatefulSets rely on it: no object, no containers. Before the pin there are none."""
        uid = pod["metadata"]["uid"]
        if any(vm.power_state is PowerState.ON and vm.pin for vm in self.vsphere.of(uid)):
            self._promises.append(f"Pod {pod['metadata']['name']} was {what} while its VM ran")


class Events:
    """`kube.events.EventRecorder`."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, str, str]] = []

    def normal(self, pod: dict, reason: str, message: str) -> None:
        self.recorded.append(("Normal", reason, message))

    def warning(self, pod: dict, reason: str, message: str) -> None:
        self.recorded.append(("Warning", reason, message))

    def reasons(self) -> set[str]:
        return {reason for _, reason, _ in self.recorded}


class NoObjects:
    """`kube.objects.ObjectWatches` of a cluster where nothing that a Pod names exists."""

    def subscribe(self, ref: ObjectRef, on_change: Callable[[], None]) -> "NoObjects":
        return self

    @property
    def known(self) -> asyncio.Event:
        known = asyncio.Event()
        known.set()
        return known

    value = None

    def close(self) -> None:
        with contextlib.suppress(Exception):
            return
