"""`peerTraffic: Deny`: Pods of a VCH reach the gateway and not one another, judged by the frames at the bridges' ports.

The Pods run as root with NET_ADMIN and NET_RAW. The laboratory's gateway forwards between Pods, so that nobody but the
guests themselves keeps these apart.
"""

from collections.abc import Iterator

import pytest

from e2e.lab.netns import POD_GATEWAY
from e2e.tests import capture, catalog
from e2e.tests.capture import Frame
from e2e.tests.kube import Kube, KubeObject, ready
from e2e.tests.serving import PORT, Seat, make_server, ordinary_server

START = 300
ROOT = {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}, "runAsUser": 0}


@pytest.fixture(name="addresses")
def _addresses(kube: Kube, any_node: str) -> Iterator[dict[str, str]]:
    """Two Pods that may not speak to each other, and one of before that was so."""
    kube.apply(server("before", any_node))
    before = address(kube, "before")
    with catalog.offered(kube, any_node, [], podNetwork={"peerTraffic": "Deny"}):
        kube.until("virtualcontainerhost", any_node, taken_in, timeout=START)
        kube.apply(server("one", any_node), server("two", any_node))
        yield {"before": before, **{name: address(kube, name) for name in ("one", "two")}}


def taken_in(vch: KubeObject) -> bool:
    """Ready by what its spec is now."""
    seen = [each.get("observedGeneration") for each in vch["status"]["conditions"] if each["type"] == "Ready"]
    return ready(vch) and seen == [vch["metadata"]["generation"]]


@pytest.mark.both_guests
def test_peers_reach_the_gateway_and_not_one_another(kube: Kube, addresses: dict[str, str]) -> None:
    seats = {name: Seat(kube, name) for name in addresses}
    assert seats["before"].until_served(addresses["two"], port=PORT) == "two", "it serves, and the gateway forwards"
    with ordinary_server("the gateway") as gateway, capture.running() as wire:
        for name, peer in (("one", "two"), ("two", "one")):
            assert seats[name].fetch(POD_GATEWAY, port=gateway.port) == "the gateway"
            assert not reaches(seats[name], addresses[peer])
            assert not reaches(seats[name], addresses[peer], by=f"via {POD_GATEWAY} dev eth0 onlink")
            assert not reaches(seats[name], addresses[peer], by="dev eth0")
    peers = {addresses["one"], addresses["two"]}
    sent = [frame for frame in wire.frames if frame.kind in ("IPv4", "ARP") and frame.sender in peers]
    assert {(frame.sender, frame.target) for frame in sent if left(frame)} == {(each, POD_GATEWAY) for each in peers}
    assert not [frame for frame in sent if frame.target in peers]


def left(frame: Frame) -> bool:
    """Whether it is no question for an address, and has left a guest."""
    return frame.kind == "IPv4" and not frame.to_guest


def server(name: str, node: str) -> KubeObject:
    pod = make_server(name, node)
    pod["spec"]["containers"][0]["securityContext"] = ROOT
    return pod


def address(kube: Kube, pod: str) -> str:
    return str(kube.until("pod", pod, ready, timeout=START)["status"]["podIP"])


def reaches(seat: Seat, other: str, *, by: str = "") -> bool:
    """Whether HTTP or ping comes through, by a route of the Pod's own making if one is given."""
    route = (f"ip route replace {other} {by}", f"ip route del {other}") if by else ("true", "true")
    tries = f"timeout 5 wget -qO- http://{other}:{PORT}/ || ping -c 2 -W 2 {other} >/dev/null && echo reached"
    return "reached" in seat.run(f"{route[0]} || exit 1; {{ {tries}; }} 2>&1; {route[1]}")
