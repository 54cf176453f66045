"""A pod VM's network for real, without the VM: namespaces for guest, network and peer, CNI's own plugins for the Pod.

The test itself moves into the guest's root namespace, as the agent lives there. Needs root; nothing is left behind.
"""

import json
import os
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from vch_agent import cni, namespace
from vch_agent.gateway import Gateway
from vch_agent.namespace import Namespace
from vch_agent.pod_network import PodNetwork

from tests.guest import build

POD, GATEWAY, PEER = "10.78.0.20", "10.78.0.1", "10.78.0.30"
POD_MAC = "52:54:00:00:00:02"
T = TypeVar("T")

_PLUGINS = Path("/usr/lib/cni")


class Wires:
    """The guest (where the test is), `lan` (a bridge with the network's gateway) and `peer`, another pod's machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lan, self.peer = Namespace(folder / "lan"), Namespace(folder / "peer")
        self.inside = Namespace(folder / "root/run/netns/vch-gateway")
        self.settings = build.settings(folder / "root", nic="eth0", pod_nic="eth1")
        self.gateway = Gateway(self.settings)
        self.pod: Namespace | None = None
        self._sandbox = ""

    def make(self) -> None:
        self.lan.make()
        self.peer.make()
        run("ip link set lo up")
        run("ip link add br0 type bridge", self.lan)
        run("ip link set br0 up", self.lan)
        run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0", self.lan)
        run("sysctl -qw net.ipv4.conf.br0.send_redirects=0 net.ipv6.conf.all.forwarding=1", self.lan)
        for address in (f"{GATEWAY}/24", "fd78::1/64"):
            run(f"ip address add {address} dev br0 nodad", self.lan)
        for name, card in (("port0", "eth0"), ("port1", "eth1")):
            run(f"ip link add {card} type veth peer name {name} netns {self._name(self.lan)}")
            run(f"ip link set {name} master br0 up", self.lan)
        run(f"ip link add port2 type veth peer name eth0 netns {self._name(self.peer)}", self.lan)
        run("ip link set port2 master br0 up", self.lan)
        run(f"ip address add {PEER}/24 dev eth0", self.peer)
        run("ip address add fd78::30/64 dev eth0 nodad", self.peer)
        run("ip link set eth0 up", self.peer)

    def network(self, **changes: Any) -> PodNetwork:
        return PodNetwork.parse(build.pod_network(**{"denied": [], **changes}))

    async def ready(self, sysctls: Any = None, **changes: Any) -> None:
        """A clone with a Pod in it."""
        await self.gateway.build(sysctls or {})
        await self.gateway.configure(self.network(**changes), POD_MAC)
        self.add_pod()

    def add_pod(self) -> None:
        """A sandbox, as containerd makes one."""
        self._sandbox = f"pod-{uuid.uuid4().hex[:8]}"
        self.pod = Namespace(self.folder / self._sandbox)
        self.pod.make()
        run("ip link set lo up", self.pod)
        self._cni("ADD")

    def remove_pod(self, *, tidily: bool) -> None:
        """Its end: `tidily` by CNI first; else the namespace dies with all that is in it."""
        assert self.pod is not None
        if tidily:
            self._cni("DEL")
        unmount(self.pod)
        self.pod = None

    def remove(self) -> None:
        for each in (self.pod, self.inside, self.peer, self.lan):
            if each is not None:
                unmount(each)

    def _cni(self, command: str) -> None:
        """The plugins one after the other; each is told what came out of those before it."""
        conflist = json.loads((self.settings.etc / cni.FILE).read_text())
        result: dict[str, Any] = {}
        for plugin in conflist["plugins"] if command == "ADD" else reversed(conflist["plugins"]):
            told = {**plugin, **result, "name": conflist["name"], "cniVersion": conflist["cniVersion"]}
            said = self._plugin(command, plugin["type"], told)
            result = {"prevResult": json.loads(said)} if said.strip() else result

    def _plugin(self, command: str, name: str, told: dict[str, Any]) -> str:
        assert self.pod is not None
        environment = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": self._sandbox,
            "CNI_NETNS": str(self.pod.path),
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(_PLUGINS),
        }
        done = subprocess.run(
            [_PLUGINS / name], input=json.dumps(told), env=os.environ | environment, text=True,
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _name(self, where: Namespace) -> str:
        return str(where.path)


@contextmanager
def guest(folder: Path) -> Iterator[Wires]:
    """The test is in a fresh network namespace until this ends."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    wires = Wires(folder)
    try:
        namespace._check(namespace._libc().unshare(namespace._CLONE_NEWNET))
        wires.make()
        yield wires
    finally:
        namespace._check(namespace._libc().setns(before, namespace._CLONE_NEWNET))
        os.close(before)
        wires.remove()


def run(command: str, where: Namespace | None = None) -> str:
    """A program's output; it has to succeed."""
    words = command.split()
    if where is not None:
        words = ["nsenter", f"--net={where.path}", "--", *words]
    done = subprocess.run(words, text=True, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def unmount(where: Namespace) -> None:
    if where.exists():
        subprocess.run(["umount", "--lazy", where.path], check=True)
    where.path.unlink(missing_ok=True)


def served(where: Namespace | None, address: str, port: int = 80) -> socket.socket:
    """A server there."""
    made = _in(where, lambda: socket.create_server((address, port), family=_family(address), reuse_port=False))
    made.settimeout(5)
    return made


def reaches(where: Namespace | None, address: str, port: int = 80, source: str = "", within: float = 3) -> str | None:
    """The address that the connection comes from; None: nothing answers (refused, too, is an answer)."""

    def connected() -> str | None:
        with socket.socket(_family(address), socket.SOCK_STREAM) as made:
            made.settimeout(within)
            if source:
                made.bind((source, 0))
            try:
                made.connect((address, port))
            except TimeoutError:
                return None
            except ConnectionRefusedError:
                return "refused"
            return str(made.getsockname()[0])

    return _in(where, connected)


def listening_to(where: Namespace, name: str) -> socket.socket:
    """All frames of an interface."""

    def made() -> socket.socket:
        frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        frames.bind((name, 0))
        frames.setblocking(False)
        return frames

    return where.call(made)


def frames(heard: socket.socket) -> list[bytes]:
    """Those that came until now."""
    found = []
    while True:
        try:
            found.append(heard.recv(2048))
        except BlockingIOError:
            return found


def asked_for(heard: list[bytes]) -> set[str]:
    """The addresses that somebody asked for by ARP (not those that were announced)."""
    requests = [frame for frame in heard if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1"]
    return {socket.inet_ntoa(frame[38:42]) for frame in requests if frame[28:32] != frame[38:42]}


def announced(heard: list[bytes]) -> set[str]:
    """The addresses that somebody said by gratuitous ARP to have."""
    requests = [frame for frame in heard if frame[12:14] == b"\x08\x06" and frame[28:32] == frame[38:42]]
    return {socket.inet_ntoa(frame[38:42]) for frame in requests}


def _in(where: Namespace | None, function: Callable[[], T]) -> T:
    return function() if where is None else where.call(function)


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
