"""A machine to run the agent on: the hypervisor is a folder, the hardware is recorded, the agent is the real one."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from vch_agent import phases
from vch_agent.dhcp_client import DHCPClient
from vch_agent.gateway import Gateway
from vch_agent.pki import LocalPKI
from vch_agent.pod_network import PodNetwork
from vch_agent.settings import Settings
from vch_agent.system import System
from vch_agent.thaw import Machine

from tests.guest import build
from tests.guest.build import Hypervisor, Provider, Recorder

_WITHIN = 20.0


async def until(condition: Callable[[], Any]) -> Any:
    """Files are written by other processes: there is no event to wait for."""
    async with asyncio.timeout(_WITHIN):
        while not (value := condition()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return value


class PodsGateway:
    """A `Gateway` that notes what is done to it; what is in `failing` fails."""

    def __init__(self, done: list[str]) -> None:
        self.done = done
        self.network: PodNetwork | None = None
        self.built = 0
        self.kept = 0
        self.failing: dict[str, Exception] = {}
        self.loaded: list[str] = []

    async def nft(self, text: str) -> str:
        self._fail("nft")
        self.loaded.append(text)
        return ""

    async def build(self, sysctls: Mapping[str, str]) -> None:
        self.built += 1
        self._fail("build")

    async def configure(self, network: PodNetwork, mac: str | None) -> None:
        self.done.append("gateway")
        self._fail("configure")
        self.network = network

    async def dhcp_client(self, identifier: bytes, hostname: str) -> DHCPClient:
        self.done.append(f"dhcp {hostname}")
        await asyncio.Event().wait()
        raise AssertionError

    async def cut(self) -> None:
        self.done.append("cut")

    def listen(self, address: str, port: int) -> socket.socket:
        self.done.append(f"listen {address}:{port}")
        return socket.create_server((address, 0))

    def sender(self, kind: socket.SocketKind) -> socket.socket:
        return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)

    async def keep(self) -> None:
        self.kept += 1
        await asyncio.Event().wait()

    def _fail(self, what: str) -> None:
        if what in self.failing:
            raise self.failing[what]


class Guest:
    """A machine to run the agent on."""

    def __init__(self, root: Path, hypervisor: Hypervisor, provider_ca: LocalPKI) -> None:
        self.hypervisor, self.ca = hypervisor, provider_ca
        self.settings: Settings = build.settings(root, api_port=free_port(), kubelet_healthz_port=free_port())
        self.done: list[str] = []
        self.system = Recorder()
        self.gateway = PodsGateway(self.done)
        self.announced: list[str] = []
        self.kept: list[asyncio.StreamWriter] = []

        async def nic(*_: Any) -> None:
            self.done.append("nic")

        def step(told: float, *, forward_only: bool) -> float:
            self.done.append("clock")
            return 0.0

        async def announced(address: Any, _: Any) -> None:
            self.announced.append(str(address))

        self.machine = Machine(
            reseed=lambda _: self.done.append("reseed"),
            step_clock=step,
            adopt_names=lambda *_: self.done.append("names"),
            rebind_nic=lambda _: False,
            configure_nic=nic,
            keep_announced=announced,
            gateway=lambda _: cast("Gateway", self.gateway),
        )

    def identify(self, **changes: Any) -> None:
        ca = self.ca.ca_cert.read_text()
        self.hypervisor.put("identity", build.identity(clientCA=ca, **changes))

    def boot(self) -> None:
        """tmpfs is empty after a boot."""
        for path in sorted(self.settings.run.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    async def run(self) -> None:
        await phases.run(self.settings, self.machine, cast("System", self.system))

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run())
        try:
            yield
            if task.done():
                task.result()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def report(self, phase: str = "Ready") -> dict[str, Any]:
        def said() -> Any:
            report = self.hypervisor.get("report")
            return report if report and report["phase"] == phase else None

        found: dict[str, Any] = await until(said)
        return found

    async def provider(self, port: int) -> Provider:
        context = build.client_context(self.ca)
        return Provider(*await asyncio.open_connection("127.0.0.1", port, ssl=context))

    async def pods(self) -> int | list[str]:
        """What a kubelet is told: a failure's code, or names."""
        token = (self.settings.run / "token").read_text()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.settings.api_port)
        writer.write(
            f"GET /api/v1/pods HTTP/1.1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        code = int(head.split()[1])
        return [pod["metadata"]["name"] for pod in json.loads(body)["items"]] if code == 200 else code

    @asynccontextmanager
    async def services(self) -> AsyncIterator[None]:
        """containerd and a healthy kubelet; what the kubelet asks is `warm_kubelet`'s."""

        async def healthz(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nok")
            writer.close()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        self.settings.root.mkdir(exist_ok=True)
        async with (
            await asyncio.start_server(healthz, "127.0.0.1", self.settings.kubelet_healthz_port),
            await asyncio.start_unix_server(connected, self.settings.containerd_socket),
        ):
            yield

    async def warm_kubelet(self) -> asyncio.StreamReader:
        """Its Node is Ready and it waits for its pod; returns that watch."""
        token = (self.settings.run / "token").read_text()
        auth = f"HTTP/1.1\r\nAuthorization: Bearer {token}\r\n"
        body = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
        _, writer = await asyncio.open_connection("127.0.0.1", self.settings.api_port)
        writer.write(f"PATCH /api/v1/nodes/vch-0/status {auth}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        reader, watching = await asyncio.open_connection("127.0.0.1", self.settings.api_port)
        watching.write(f"GET /api/v1/pods?watch=true&sendInitialEvents=true {auth}\r\n".encode())
        await reader.readuntil(b"initial-events-end")
        self.kept = [writer, watching]
        return reader


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
