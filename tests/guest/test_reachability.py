"""What the agent tries of the cluster, with the Pod's address and without the Pod, and what it says of it."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from vch_agent import reachability
from vch_agent.pod_network import PodNetwork
from vch_agent.reachability import Reachability, Target, What, attempt, targets
from vch_agent.relay import Relay
from vch_agent.service_routes import ServiceRoutes
from vch_agent.setup import DNS

from tests.guest import build, wires
from tests.guest.wires import GATEWAY, PEER, POD, Wires, reaches, served

NAME = "kubernetes.default.svc.cluster.local"
NETWORK = PodNetwork.parse(build.pod_network())


def make_service(port: int = 443, **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": "kubernetes", "resourceVersion": "1"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": port}], **spec},
    }


def make_slice(*addresses: str, port: int = 6443) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "default", "name": "kubernetes"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": "https", "port": port}],
    }


def test_every_endpoint_of_the_api_server_is_tried_and_every_name_server() -> None:
    assert targets(NETWORK, DNS(("10.96.0.10",)), make_service(), make_slice("10.0.0.2", "10.0.0.1")) == (
        Target(What.CLUSTER_DNS, "10.96.0.10", 53),
        Target(What.API_SERVER, "10.0.0.1", 6443),
        Target(What.API_SERVER, "10.0.0.2", 6443),
    )


def test_where_the_guest_routes_no_services_the_services_own_address_is_tried() -> None:
    assert targets(NETWORK, DNS(), make_service(), None) == (Target(What.API_SERVER, "10.96.0.1", 443),)
    assert targets(NETWORK, DNS(), None, None) == ()
    assert targets(NETWORK, DNS(("fd00::a",)), None, make_slice("fd00::1")) == (), "the other family is not tried"


def test_for_a_pod_without_ipv4_nothing_is_tried() -> None:
    alone = PodNetwork.parse(build.pod_network(addresses=["fd00:10::20/64"], gateways=[]))
    assert targets(alone, DNS(("10.96.0.10",)), make_service(), make_slice("10.0.0.1")) == ()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Wires]:
    with wires.guest(tmp_path) as made:
        yield made


async def test_answers_to_the_gateway_namespace_are_not_the_pods_and_the_pods_stay_its_own(lab: Wires) -> None:
    await lab.ready()
    assert lab.pod is not None
    target = Target(What.API_SERVER, GATEWAY, 80)
    with served(lab.lan, GATEWAY) as server, wires.listening_to(lab.pod, "eth0") as heard:
        assert await attempt(target, lab.gateway.sender, NAME) == ""
        assert server.accept()[1][0] == POD
        assert not [frame for frame in wires.frames(heard) if frame[12:14] == b"\x08\x00"], "the Pod sees nothing"
        assert reaches(lab.pod, GATEWAY) == POD
        assert server.accept()[1][0] == POD
    assert await attempt(target, lab.gateway.sender, NAME) == "Refused"


async def test_what_the_pod_may_not_reach_is_not_reached(lab: Wires) -> None:
    await lab.ready(isolation="None", denied=[PEER])
    with served(lab.peer, PEER):
        target, denied = Target(What.API_SERVER, PEER, 80), lab.network(denied=[PEER]).denied
        assert await attempt(target, lab.gateway.sender, NAME, denied) == "Denied"
        assert await attempt(target, lab.gateway.sender, NAME) == "Timeout", "the firewall holds too"


async def test_a_name_server_that_answers_anything_is_reached(lab: Wires) -> None:
    await lab.ready()

    def bound() -> socket.socket:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        server.bind((GATEWAY, 53))
        return server

    with contextlib.closing(lab.lan.call(bound)) as server:
        trying = asyncio.create_task(attempt(Target(What.CLUSTER_DNS, GATEWAY, 53), lab.gateway.sender, NAME))
        loop = asyncio.get_running_loop()
        question, client = await loop.sock_recvfrom(server, 512)
        assert client[0] == POD
        assert b"\x0akubernetes\x07default\x03svc" in question
        await loop.sock_sendto(server, question[:2] + struct.pack("!HHHHH", 0x8183, 0, 0, 0, 0), client)
        assert await trying == ""


class Cluster:
    """An API server on loopback that can be away, and a provider that is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.routes, self.relay = ServiceRoutes(), Relay()
        self.reachability = Reachability(self.routes, self.relay)
        self.tried = 0

    def open_socket(self, kind: socket.SocketKind) -> socket.socket:
        self.tried += 1
        return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)

    def connect(self) -> None:
        async def send(frame: dict[str, Any]) -> None:
            self.told.put_nowait(frame)
            self.relay.reply(frame["id"], 200, {})

        self.relay.attach(send)

    def endpoints(self, port: int) -> None:
        self.routes.change([make_slice("127.0.0.1", port=port)], [], first=True, last=True)


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    monkeypatch.setattr(reachability, "_FIRST_AGAIN", 0.01)
    made = Cluster()
    keeping = asyncio.create_task(made.reachability.keep(DNS(), NETWORK, made.open_socket, ("default", "web")))
    yield made
    keeping.cancel()


async def serve() -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_what_answers_is_told_once_to_each_provider_and_not_tried_again(cluster: Cluster) -> None:
    server, port = await serve()
    async with server:
        cluster.endpoints(port)
        cluster.connect()
        frame = await cluster.told.get()
        assert (frame["verb"], frame["namespace"], frame["name"]) == ("reportReachability", "default", "web")
        assert frame["body"] == {"tried": 1, "failures": []}
        cluster.reachability.wake()
        cluster.connect()
        assert (await cluster.told.get())["body"] == {"tried": 1, "failures": []}
        assert cluster.tried == 1


async def test_what_fails_is_told_and_tried_again_until_it_answers(cluster: Cluster) -> None:
    server, port = await serve()
    server.close()
    await server.wait_closed()
    cluster.connect()
    cluster.endpoints(port)
    failure = {"what": "APIServer", "address": "127.0.0.1", "port": port, "why": "Refused"}
    assert (await cluster.told.get())["body"] == {"tried": 1, "failures": [failure]}
    assert cluster.tried >= 2, "once is no proof"
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port):
        assert (await cluster.told.get())["body"]["failures"] == []


async def test_endpoints_that_are_others_are_tried(cluster: Cluster) -> None:
    (first, one), (second, two) = await serve(), await serve()
    async with first, second:
        cluster.connect()
        for port in (one, two):
            cluster.endpoints(port)
            assert (await cluster.told.get())["body"]["failures"] == []
        assert cluster.tried == 2
