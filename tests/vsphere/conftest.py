"""The vCenter simulator without guests, one for each test: real SOAP, real sessions, real property collectors.

What is faked: there is no guest behind a VM; a VM freezes when the control endpoint says so.
"""

import asyncio
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from e2e.lab import build, paths
from provider import guestinfo
from provider.guestinfo import CloneFacts, GuestNetwork
from provider.podvm import CloneRequest, InventoryEvent, PodIdentity, Synced
from provider.vsphere import vcenter
from provider.vsphere.vcenter import VCenter

USER, PASSWORD = "administrator", "secret"


class Simulator:
    """A running simulator: its address, and its control endpoint."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._ready = folder / "ready.json"
        self._command = [str(program), "--state-dir", str(folder), "--user", USER, "--password", PASSWORD]
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

    def post(self, path: str, body: Any) -> None:
        request = urllib.request.Request(self.control + path, data=json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).read()

    async def connect(self, **options: Any) -> VCenter:
        options.setdefault("thumbprint", self.thumbprint)
        return await vcenter.connect(self.server, USER, PASSWORD, **options)


class Watched:
    """A vCenter connection with everything that its watch has told."""

    def __init__(self, simulator: Simulator, vc: VCenter) -> None:
        self.simulator = simulator
        self.vc = vc
        self.events: list[InventoryEvent] = []
        self._more = asyncio.Condition()

    async def follow(self) -> None:
        async for event in self.vc.watch():
            async with self._more:
                self.events.append(event)
                self._more.notify_all()

    async def until(self, predicate: Any, since: int = 0) -> Any:
        """The first event that the predicate holds for."""
        async with asyncio.timeout(90), self._more:
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


@pytest.fixture(name="watched")
async def _watched(simulator: Simulator) -> AsyncIterator[Watched]:
    """Connected, placed, with a frozen parent, and synced."""
    vc = await simulator.connect()
    await make_parent(simulator, vc)
    await vc.resolve("vm", "Resources", "parent")
    watched = Watched(simulator, vc)
    following = asyncio.create_task(watched.follow())
    await watched.until(lambda event: isinstance(event, Synced))
    yield watched
    following.cancel()
    await vc.close()


async def make_parent(simulator: Simulator, vc: VCenter, *, frozen: bool = True) -> str:
    """A VM `parent`, powered on; returns its moref."""

    def make() -> str:
        datacenter = vc._session.content.rootFolder.childEntity[0]
        pool = datacenter.hostFolder.childEntity[0].resourcePool
        spec = vim.vm.ConfigSpec(
            name="parent",
            numCPUs=2,
            memoryMB=1024,
            guestId="otherGuest64",
            files=vim.vm.FileInfo(vmPathName="[LocalDS_0]"),
        )
        vm = _wait(datacenter.vmFolder.CreateVM_Task(spec, pool))
        _wait(vm.PowerOnVM_Task())
        return str(vm._moId)

    moref = await asyncio.to_thread(make)
    if frozen:
        simulator.post(f"/vms/{moref}/freeze", {})
    return moref


def _wait(task: Any) -> Any:
    pause = threading.Event()
    while task.info.state not in ("success", "error"):
        pause.wait(0.01)
    assert task.info.state == "success", task.info.error
    return task.info.result


def make_clone(name: str = "pod-1", *, uid: str = "uid-1") -> CloneRequest:
    """A clone request with the complete key set."""
    facts = CloneFacts(
        identity=PodIdentity("cluster", "vch", "node", "default", name, uid),
        clone_id=f"clone-of-{uid}",
        hostname=name,
        network=GuestNetwork("192.0.2.7", 24, None),
        client_ca_pem="PEM",
        seed=bytes(64),
        now=0.0,
    )
    return CloneRequest(name=name, uid=uid, extra_config=guestinfo.encode_clone(facts))
