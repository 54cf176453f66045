"""Builders for the agent's tests: a guest's settings, identity, objects, a hypervisor of files, a provider."""

import asyncio
import base64
import json
import ssl
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vch_agent.parent import Image
from vch_agent.pki import LocalPKI
from vch_agent.settings import Platform, Settings

RPCTOOL = str(Path(__file__).parent / "bin/vmware-rpctool")
NODE = "vch-0"


def settings(root: Path, **changes: Any) -> Settings:
    fields: dict[str, Any] = {
        "root": root,
        "rpctool": RPCTOOL,
        "platform": Platform.VM,
        "api_port": 0,
        "provider_port": 0,
        "containerd_socket": str(root / "containerd.sock"),
    }
    return Settings(**(fields | changes))


def identity(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "cloneId": "clone-1",
        "pod": {"namespace": "default", "name": "web", "uid": "uid-1"},
        "node": NODE,
        "hostname": "web",
        "address": "127.0.0.1/8",
        "gateway": None,
        "nameservers": ["10.0.0.10"],
        "podNetwork": pod_network(),
        "time": time.time(),
        "seed": base64.b64encode(bytes(range(64))).decode(),
        "clientCA": "",
    }
    return fields | changes


def pod_network(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "addresses": ["10.78.0.20/24"],
        "gateways": ["10.78.0.1"],
        "isolation": "Pod",
        "denied": ["10.77.0.0/24"],
    }
    return fields | changes


def pod(version: int = 10, name: str = "web", uid: str = "uid-1", **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": NODE, **spec}, "status": {}}


def config_map(version: int = 10, name: str = "settings", **data: str) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": name, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def node(**labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}, "status": {}}


def service(name: str = "kubernetes", namespace: str = "default", address: str = "10.0.0.1") -> dict[str, Any]:
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": address}}


OPEN = {"isolated": False, "rules": []}
CLOSED = {"isolated": True, "rules": []}


def firewall(ingress: dict[str, Any] = OPEN, egress: dict[str, Any] = OPEN, uid: str = "uid-1") -> dict[str, Any]:
    spec = {"ingress": ingress, "egress": egress}
    return {"apiVersion": "guest.vch.dev/v1", "kind": "Firewall", "metadata": {"name": uid}, "spec": spec}


def allowing(*peers: str, port: int = 80) -> dict[str, Any]:
    ports = [{"protocol": "TCP", "first": port, "last": port}]
    return {"isolated": True, "rules": [{"peers": list(peers), "ports": ports}]}


async def no_rules(_: str) -> None:
    """A `Load` for what is not about firewalls."""


class Hypervisor:
    """The guestinfo that the stand-in rpctool reads and writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, key: str, value: Any) -> None:
        (self.folder / f"guestinfo.vch.{key}").write_text(value if isinstance(value, str) else json.dumps(value))

    def get(self, key: str) -> Any:
        path = self.folder / f"guestinfo.vch.{key}"
        return json.loads(path.read_text()) if path.exists() else None

    def calls(self) -> list[str]:
        log = self.folder / ".calls"
        return [line.strip() for line in log.read_text().splitlines()] if log.exists() else []


class Provider:
    """The other end of `vch-feed/1`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, **frame: Any) -> None:
        body = json.dumps(frame).encode()
        self.writer.write(struct.pack(">I", len(body)) + body)

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            (length,) = struct.unpack(">I", await self.reader.readexactly(4))
            frame: dict[str, Any] = json.loads(await self.reader.readexactly(length))
        return frame

    def feed(self, *objects: dict[str, Any], services: Iterable[dict[str, Any]] = ()) -> None:
        """All that a provider says first."""
        self.send(type="routes", apply=list(services), remove=[], first=True, last=True)
        self.send(type="snapshot", objects=list(objects))

    async def hello(self, clone_id: str = "clone-1", uid: str = "uid-1") -> dict[str, Any]:
        self.send(type="hello", protocol=1, podUID=uid, cloneId=clone_id, time=time.time())
        return await self.receive()

    async def ended(self) -> bool:
        async with asyncio.timeout(10):
            try:
                return await self.reader.read(1) == b""
            except (ConnectionError, ssl.SSLError):
                return True


def client_context(pki: LocalPKI, alpn: str | None = "vch-feed/1", certificate: bool = True) -> ssl.SSLContext:
    """A provider's TLS. The CA is made the way the agent makes its local one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(pki.client_cert, pki.client_key)
    if alpn:
        context.set_alpn_protocols([alpn])
    return context


def parent(parent_id: str = "parent-1", *, freeze: bool = True, **setup: Any) -> dict[str, Any]:
    seed = base64.b64encode(bytes(range(64))).decode()
    return {"parentId": parent_id, "node": NODE, "freeze": freeze, "time": time.time(), "seed": seed, "setup": setup}


class Recorder:
    """A `System` that notes what is done to it; what is in `failing` fails."""

    def __init__(self, command_line: str = "quiet") -> None:
        self.done: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.files: dict[str, str] = {}
        self.booted_with = command_line
        self.held: set[str] = set()

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what in self.failing:
            raise self.failing[what]

    def write(self, path: str, content: str, mode: int) -> bool:
        self._do(f"write {path}")
        changed = self.files.get(path) != content
        self.files[path] = content
        return changed

    def trust(self, bundle: str) -> None:
        self._do("trust")

    def set_sysctl(self, name: str, value: str) -> None:
        self._do(f"sysctl {name}={value}")

    async def load_module(self, name: str) -> None:
        self._do(f"module {name}")

    async def have_modules(self, names: Any) -> None:
        pass

    def command_line(self) -> str:
        return self.booted_with

    def boot(self, parameters: tuple[str, ...]) -> None:
        self._do(f"boot {' '.join(parameters)}")
        raise Booted

    async def restart_containerd(self) -> None:
        self._do("restart containerd")

    async def connect(self, network: Any) -> None:
        self._do(f"connect {network.address}")

    async def holds(self, names: Any) -> bool:
        return set(names) <= self.held

    def loopback(self) -> None:
        pass

    def disconnect(self) -> None:
        self._do("disconnect")

    async def pull(self, image: str, environment: Any) -> None:
        self._do(f"pull {image}")

    async def images(self) -> list[Image]:
        return [Image(("vch.dev/pause:1",), 7)]

    async def runtime(self) -> str:
        return "containerd://1.6.20"

    def release(self) -> str:
        return "6.1"

    def distribution(self) -> str:
        return "Debian"


class Booted(Exception):
    """The machine is gone; a test starts it again."""
