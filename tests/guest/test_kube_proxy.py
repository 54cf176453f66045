"""The real kube-proxy against the agent's API server for it, in namespaces made as a pod VM's are.

A Pod behind the gateway namespace, and two endpoints on the network beyond. Needs root, nft and kube-proxy, which the
laboratory builds (`e2e/lab/build.py`).
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from vch_agent import proxyconfig
from vch_agent.api_server import bearer
from vch_agent.http_server import HTTPServer
from vch_agent.proxy_api import ProxyAPI
from vch_agent.service_routes import ServiceRoutes

from e2e.lab import netns, paths
from tests.guest import build

_BUILT = sorted(paths.here().cache.glob("kubernetes-*/kube-proxy"), key=lambda path: path.stat().st_mtime)
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(not _BUILT, reason="kube-proxy is not built; the laboratory does it"),
    pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed"),
]

POD, PEERS = "10.78.0.20", ("10.78.0.30", "10.78.0.31")
CLUSTER_IP, PORT, TARGET = "10.96.0.50", 80, 8080
_WITHIN = 30.0


def service(name: str = "web", cluster_ip: str = CLUSTER_IP, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": PORT, "protocol": "TCP"}]
    metadata = {"namespace": "default", "name": name}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"clusterIP": cluster_ip, "ports": ports, **spec},
    }


def endpoint_slice(*addresses: str, name: str = "web", port: int = TARGET) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": "IPv4",
        # kube-proxy masquerades what leads back to the Pod by its endpoint's node.
        "endpoints": [{"addresses": [address], "nodeName": build.NODE} for address in addresses],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


CIDR = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "ServiceCIDR",
    "metadata": {"name": "kubernetes"},
    "spec": {"cidrs": ["10.96.0.0/16"]},
}


class Wires:
    """Three namespaces: the Pod's, the gateway's, and the network's with the peers."""

    def __init__(self) -> None:
        self.pod, self.gateway, self.network = (f"vch-test-{secrets.token_hex(3)}" for _ in range(3))

    def make(self) -> None:
        for name in (self.pod, self.gateway, self.network):
            _ip(f"netns add {name}")
            _ip(f"-n {name} link set lo up")
        # First, as in a pod VM: its address is what the kernel takes where it needs one of the gateway's own.
        _ip(f"-n {self.gateway} link add host type veth peer name other")
        _ip(f"-n {self.gateway} address add 169.254.1.2/30 dev host")
        _ip(f"-n {self.gateway} link set host up")
        _ip(f"-n {self.gateway} link add pod type veth peer name eth0 netns {self.pod}")
        _ip(f"-n {self.gateway} link add uplink type veth peer name eth0 netns {self.network}")
        for at, link in ((self.pod, "eth0"), (self.gateway, "pod"), (self.gateway, "uplink"), (self.network, "eth0")):
            _ip(f"-n {at} link set {link} up")
        for address in (*PEERS, "10.78.0.1"):
            _ip(f"-n {self.network} address add {address}/24 dev eth0")
        _ip(f"-n {self.pod} address add {POD}/24 dev eth0")
        _ip(f"-n {self.pod} route add default via 10.78.0.1")
        _ip(f"-n {self.gateway} address add {POD}/32 dev uplink")
        _ip(f"-n {self.gateway} route add 10.78.0.0/24 dev uplink src {POD}")
        _ip(f"-n {self.gateway} route add default via 10.78.0.1 dev uplink src {POD}")
        # The Pod's address is the gateway's too, and yet what is for it goes on to the Pod.
        _ip(f"-n {self.gateway} route add {POD}/32 dev pod table 100")
        _ip(f"-n {self.gateway} rule add to {POD} lookup 100 pref 10")
        _ip(f"-n {self.gateway} rule add lookup local pref 100")
        _ip(f"-n {self.gateway} rule delete lookup local pref 0")
        netns.inside(self.gateway, _forward)

    def delete(self) -> None:
        for name in (self.pod, self.gateway, self.network):
            netns.delete(name)

    def listen(self, address: str, port: int) -> socket.socket:
        return netns.inside(self.gateway, lambda: socket.create_server((address, port)))

    def command(self, argv: Sequence[str]) -> list[str]:
        return netns.command(self.gateway, argv)

    def connect(self, address: str = CLUSTER_IP, port: int = PORT) -> str:
        """What answers the Pod: the address that it was connected to, as the other end sees it; or the failure."""

        def attempt() -> str:
            try:
                with socket.create_connection((address, port), timeout=1) as connection:
                    return connection.recv(100).decode()
            except OSError as error:
                return type(error).__name__

        return netns.inside(self.pod, attempt)


def _forward() -> None:
    for name, value in (("ip_forward", "1"), ("conf/pod/proxy_arp", "1"), ("conf/pod/rp_filter", "0")):
        Path("/proc/sys/net/ipv4", name).write_text(value)


def _ip(line: str) -> None:
    subprocess.run(["ip", *line.split()], check=True, capture_output=True)


@contextlib.contextmanager
def server(at: str, address: str, port: int = TARGET) -> Iterator[None]:
    """Tells who asks that it is `address`, and whom it sees."""
    listening = netns.inside(at, lambda: socket.create_server((address, port)))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{address} to {writer.get_extra_info('peername')[0]}".encode())
        writer.close()

    task = asyncio.ensure_future(asyncio.start_server(answer, sock=listening))
    yield
    task.result().close()


@pytest.fixture
def wires() -> Iterator[Wires]:
    made = Wires()
    try:
        made.make()
        yield made
    finally:
        made.delete()


@pytest.fixture
async def routes(wires: Wires, tmp_path: Path) -> AsyncIterator[ServiceRoutes]:
    """What kube-proxy, warm as in a parent, is told."""
    routes = ServiceRoutes()
    routes.own_node(build.NODE)
    routes.declare()
    http = HTTPServer(ProxyAPI(routes).handle, bearer("secret", "kube-proxy"))
    await http.listen(wires.listen(proxyconfig.ADDRESS, proxyconfig.PORT))
    settings = build.settings(tmp_path)
    proxyconfig.write(settings.run, build.NODE, "secret")
    with (tmp_path / "log").open("wb") as log:
        argv = wires.command([str(_BUILT[-1]), f"--config={settings.run / 'kube-proxy/config.json'}"])
        process = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log)
    try:
        await _until(routes.watched)
        yield routes
        assert process.returncode is None, (tmp_path / "log").read_text()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await http.close()


async def _until(condition: Callable[[], Any]) -> None:
    """Rules are made by another process, and answers come from a third: there is no event to wait for."""
    async with asyncio.timeout(_WITHIN):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_service_leads_to_its_endpoints_as_they_are_now(wires: Wires, routes: ServiceRoutes) -> None:
    with server(wires.network, PEERS[0]), server(wires.network, PEERS[1]):
        routes.change([CIDR, service(), endpoint_slice(PEERS[0])], [], first=True, last=True)
        # Nothing is masqueraded: the endpoint sees the Pod's own address.
        await _until(lambda: wires.connect() == f"{PEERS[0]} to {POD}")
        routes.change([endpoint_slice(PEERS[1])], [], first=False, last=False)
        await _until(lambda: wires.connect() == f"{PEERS[1]} to {POD}")
        routes.change([endpoint_slice()], [], first=False, last=False)
        await _until(lambda: wires.connect() == "ConnectionRefusedError")
        routes.change([endpoint_slice(*PEERS)], [], first=False, last=False)
        await _until(lambda: wires.connect().endswith(POD))
        # The whole set again, as after a connection that broke: the Service is not in it any more.
        routes.change([CIDR], [], first=True, last=True)
        await _until(lambda: wires.connect() == "TimeoutError")  # nor does it leave: kube-proxy drops it


async def test_a_pod_reaches_itself_by_its_service(wires: Wires, routes: ServiceRoutes) -> None:
    with server(wires.pod, POD):
        routes.change([service(), endpoint_slice(POD)], [], first=True, last=True)
        await _until(lambda: wires.connect() == f"{POD} to 169.254.1.2")


async def test_no_port_is_opened_and_no_setting_of_the_kernel_changed(wires: Wires, routes: ServiceRoutes) -> None:
    def listening() -> set[str]:
        shown = subprocess.run(wires.command(["ss", "-Htln"]), capture_output=True, text=True, check=True).stdout
        return {line.split()[3] for line in shown.splitlines()}

    with server(wires.network, PEERS[0]):
        routes.change([service(type="NodePort"), endpoint_slice(PEERS[0])], [], first=True, last=True)
        await _until(lambda: wires.connect().startswith(PEERS[0]))
    assert {address.rsplit(":", 1)[0] for address in listening()} == {"127.0.0.1"}
