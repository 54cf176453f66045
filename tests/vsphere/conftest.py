"""The vCenter simulator without guests, one for each test: real SOAP, real sessions, real property collectors.

What is faked: there is no guest behind a VM; a VM freezes when the control endpoint says so.
"""

import asyncio
import contextlib
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from e2e.lab import build, paths
from provider import guestinfo
from provider.guestinfo import CloneFacts, GuestNetwork
from provider.parentvm import WantedPlacement
from provider.podvm import CloneOrigin, CloneRequest, InventoryEvent, PodIdentity, Synced
from provider.vsphere import vcenter
from provider.vsphere.vcenter import VCenter
from tests.builders import make_pod_network

USER, PASSWORD = "administrator", "secret"
PATIENCE = 60.0


class Simulator:
    """A running simulator: its address, and its control endpoint."""

    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        self._ready = folder / "ready.json"
        self._command = [str(program), "--state-dir", str(folder), "--user", USER, "--password", PASSWORD, *options]
        self.start("127.0.0.1:0")

    def start(self, listen: str) -> None:
        self._ready.unlink(missing_ok=True)
        arguments = ["--listen", listen, "--control", "127.0.0.1:0", "--ready-file", str(self._ready)]
        self.process = subprocess.Popen([*self._command, *arguments], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not self._ready.exists():
            assert self.process.poll() is None, "the simulator ended at its start"
            assert time.monotonic() < deadline, "the simulator does not get ready"
            time.sleep(0.02)
        ready = json.loads(self._ready.read_text())
        self.control, self.thumbprint = ready["control"], ready["thumbprint"]
        self.server = ready["url"].split("/")[2]

    def stop(self) -> None:
        self.process.terminate()  # it removes its files then
        self.process.wait(30)

    def post(self, path: str, body: Any, method: str = "POST") -> Any:
        """A request to the control endpoint."""
        request = urllib.request.Request(self.control + path, data=json.dumps(body).encode(), method=method)
        return json.loads(urllib.request.urlopen(request, timeout=10).read() or "null")

    def put(self, path: str, body: Any) -> Any:
        return self.post(path, body, "PUT")

    async def connect(self, username: str = USER, **options: Any) -> VCenter:
        options.setdefault("thumbprint", self.thumbprint)
        return await vcenter.connect(self.server, username, PASSWORD, **options)


class Watched:
    """A vCenter connection with everything that its watch has told, and a frozen VM to clone from."""

    def __init__(self, simulator: Simulator, vc: VCenter, parent: str) -> None:
        self.simulator = simulator
        self.vc = vc
        self.parent = parent
        self.events: list[InventoryEvent] = []
        self._more = asyncio.Condition()

    async def follow(self) -> None:
        async for event in self.vc.watch():
            async with self._more:
                self.events.append(event)
                self._more.notify_all()

    async def raw(self, work: Callable[[Any], Any]) -> Any:
        """What an admin does, given the content of the service instance; waits for the task that it returns."""

        def do() -> Any:
            result = work(self.vc._session.content)
            return _wait(result) if isinstance(result, vim.Task) else result

        return await asyncio.to_thread(do)

    def vm(self, moref: str) -> Any:
        return self.vc._session.object(vim.VirtualMachine, moref)

    async def extra_config(self, moref: str) -> dict[str, str]:
        options = await self.raw(lambda _: self.vm(moref).config.extraConfig)
        return {each.key: each.value for each in options}

    async def cards(self, moref: str) -> list[Any]:
        """The network cards, the first first."""
        devices = await self.raw(lambda _: self.vm(moref).config.hardware.device)
        found = [each for each in devices if isinstance(each, vim.vm.device.VirtualEthernetCard)]
        return sorted(found, key=lambda card: card.key)

    async def connected(self, moref: str) -> list[bool]:
        """Of each card."""
        return [card.connectable.connected for card in await self.cards(moref)]

    async def until(self, predicate: Any, since: int = 0) -> Any:
        """The first event that the predicate holds for."""
        async with asyncio.timeout(PATIENCE), self._more:
            while True:
                for event in self.events[since:]:
                    if predicate(event):
                        return event
                await self._more.wait()


@pytest.fixture(name="program", scope="session")
def _program() -> Path:
    if shutil.which("go") is None:
        pytest.skip("Go is not installed; the simulator is built with it")
    return build.simulator(paths.here()) / "vch-simulator"


@pytest.fixture(name="simulator")
def _simulator(program: Path, tmp_path: Path) -> Iterator[Simulator]:
    simulator = Simulator(program, tmp_path)
    yield simulator
    simulator.stop()


@pytest.fixture(name="site")
def _site(program: Path, tmp_path: Path) -> Iterator[Simulator]:
    """Two clusters of two hosts, two datastores."""
    simulator = Simulator(program, tmp_path, "--clusters", "2", "--hosts", "2", "--datastores", "2")
    yield simulator
    simulator.stop()


@pytest.fixture(name="watched")
async def _watched(simulator: Simulator) -> AsyncIterator[Watched]:
    """Connected, placed, with a frozen parent, and synced."""
    async with watching(simulator, WantedPlacement("vm", "Resources")) as watched:
        yield watched


@pytest.fixture(name="watched_site")
async def _watched_site(site: Simulator) -> AsyncIterator[Watched]:
    """As `watched`, on the first cluster of two hosts."""
    async with watching(site, WantedPlacement("vm", "/DC0/host/DC0_C0/Resources")) as watched:
        yield watched


@contextlib.asynccontextmanager
async def watching(simulator: Simulator, wanted: WantedPlacement) -> AsyncIterator[Watched]:
    vc = await simulator.connect()
    parent = await make_machine(simulator, vc)
    await vc.resolve(wanted)
    watched = Watched(simulator, vc, parent)
    following = asyncio.create_task(watched.follow())
    await watched.until(lambda event: isinstance(event, Synced))
    yield watched
    following.cancel()
    await vc.close()


async def make_machine(
    simulator: Simulator, vc: VCenter, name: str = "parent", *, on: bool = True, frozen: bool = True, cards: int = 2
) -> str:
    """A VM with network cards, all on the same network; returns its moref."""

    def make() -> str:
        datacenter = vc._session.content.rootFolder.childEntity[0]
        pool = datacenter.hostFolder.childEntity[0].resourcePool
        spec = vim.vm.ConfigSpec(
            name=name,
            numCPUs=2,
            memoryMB=1024,
            guestId="otherGuest64",
            files=vim.vm.FileInfo(vmPathName="[LocalDS_0]"),
            deviceChange=new_cards(cards),
        )
        vm = _wait(datacenter.vmFolder.CreateVM_Task(spec, pool))
        if on:
            _wait(vm.PowerOnVM_Task())
        return str(vm._moId)

    moref = await asyncio.to_thread(make)
    if on and frozen:
        simulator.post(f"/vms/{moref}/freeze", {})
    return moref


def new_cards(count: int) -> list[Any]:
    """What makes a VM have them."""
    backing = vim.vm.device.VirtualEthernetCard.NetworkBackingInfo(deviceName="VM Network")
    made = [vim.vm.device.VirtualVmxnet3(key=-1 - number, backing=backing) for number in range(count)]
    return [vim.vm.device.VirtualDeviceSpec(operation="add", device=card) for card in made]


def add_cards(vm: Any) -> None:
    """Two, to a template."""
    vm.MarkAsVirtualMachine(vm.runtime.host.parent.resourcePool)
    _wait(vm.ReconfigVM_Task(vim.vm.ConfigSpec(deviceChange=new_cards(2))))
    vm.MarkAsTemplate()


def _wait(task: Any) -> Any:
    pause = threading.Event()
    while task.info.state not in ("success", "error"):
        pause.wait(0.01)
    assert task.info.state == "success", task.info.error
    return task.info.result


def make_facts(name: str = "pod-1", *, uid: str = "uid-1") -> CloneFacts:
    """Of a clone for a Pod; without a UID, of a standby clone."""
    pod = ("default", name, uid) if uid else ()
    return CloneFacts(
        identity=PodIdentity("cluster", "vch", "node", *pod),
        clone_id=f"clone-of-{uid}",
        hostname=name,
        network=GuestNetwork("192.0.2.7", 24, None),
        pod_network=make_pod_network("198.51.100.7"),
        client_ca_pem="PEM",
        seed=bytes(64),
        now=0.0,
        origin=CloneOrigin("p0", "photon", "small"),
    )


def make_clone(parent: str, name: str = "pod-1", *, uid: str = "uid-1") -> CloneRequest:
    """A clone request with the complete key set."""
    return CloneRequest(parent, name, uid, guestinfo.encode_clone(make_facts(name, uid=uid)))
