"""A laboratory's two networks: Pods pass their gateway, and nothing passes between Pods and management (needs root)."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.lab import netns

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
_PORT = 7


@dataclass(frozen=True, slots=True)
class Station:
    """A namespace with a veth into a bridge of the laboratory."""

    name: str
    address: str

    def reaches(self, address: str) -> bool:
        def attempt() -> bool:
            try:
                socket.create_connection((address, _PORT), timeout=1).close()
            except OSError:
                return False
            return True

        return netns.inside(self.name, attempt)


@dataclass(frozen=True, slots=True)
class Lab:
    """A laboratory's namespace, to which stations are added."""

    name: str
    cleanup: contextlib.ExitStack

    def station(self, bridge: str, address: str, gateway: str) -> Station:
        name = f"{self.name}-{address.replace('.', '-')}"
        subprocess.run(["ip", "netns", "add", name], check=True)
        self.cleanup.callback(netns.delete, name)
        port = "p" + address.replace(".", "-")
        for line in (
            f"-n {self.name} link add {port} type veth peer name eth0 netns {name}",
            f"-n {self.name} link set {port} master {bridge}",
            f"-n {self.name} link set {port} type bridge_slave isolated on",
            f"-n {self.name} link set {port} up",
            f"-n {name} address add {address}/{netns.PREFIX_LENGTH} dev eth0",
            f"-n {name} link set eth0 up",
            # As a pod VM does: only the gateway is on the link.
            f"-n {name} route add default via {gateway}",
            f"-n {name} route replace {address.rpartition('.')[0]}.0/{netns.PREFIX_LENGTH} via {gateway}",
            f"-n {name} route add {gateway}/32 dev eth0",
        ):
            subprocess.run(["ip", *line.split()], check=True)
        listener = netns.inside(
            name, lambda: socket.create_server(("", _PORT), family=socket.AF_INET6, dualstack_ipv6=True)
        )
        self.cleanup.callback(listener.close)
        return Station(name, address)


@pytest.fixture(name="lab")
def _lab() -> Iterator[Lab]:
    name = f"vchn-{os.getpid()}"
    with contextlib.ExitStack() as cleanup:
        netns.create(name, ["10.77.0.2"])
        cleanup.callback(netns.delete, name)
        yield Lab(name, cleanup)


def _pods(lab: Lab) -> tuple[Station, Station]:
    return (
        lab.station(netns.POD_BRIDGE, "10.78.0.20", netns.POD_GATEWAY),
        lab.station(netns.POD_BRIDGE, "10.78.0.21", netns.POD_GATEWAY),
    )


def test_pods_on_isolated_ports_reach_each_other_through_the_gateway_and_the_laboratory_itself(lab: Lab) -> None:
    one, two = _pods(lab)
    listener = netns.inside(lab.name, lambda: socket.create_server(("10.77.0.2", _PORT)))
    with contextlib.closing(listener):
        assert one.reaches(two.address)
        assert two.reaches("10.77.0.2")


def test_the_gateway_forwards_ipv6_between_pods_and_nothing_is_said_at_their_ports(lab: Lab) -> None:
    one, two = _pods(lab)
    addresses = {one: "fd78::20", two: "fd78::21"}
    for station, address in addresses.items():
        for line in (
            f"address add {address}/128 dev eth0 nodad",
            f"route add {netns.POD_GATEWAY6} dev eth0",
            f"route add default via {netns.POD_GATEWAY6}",
        ):
            subprocess.run(["ip", "-6", "-n", station.name, *line.split()], check=True)
    assert one.reaches(addresses[two])
    assert two.reaches(netns.POD_GATEWAY6) is False, "nothing listens there"
    for port in ("p10-78-0-20", "p10-78-0-21"):
        shown = subprocess.run(["ip", "-6", "-n", lab.name, "address", "show", port], capture_output=True, check=True)
        assert not shown.stdout, "without an address of IPv6, a port says nothing of its own"


def test_nothing_passes_between_pods_and_management(lab: Lab) -> None:
    pod, _ = _pods(lab)
    guest = lab.station(netns.BRIDGE, "10.77.0.20", netns.GATEWAY)
    assert not pod.reaches(guest.address)
    assert not guest.reaches(pod.address)


def test_the_gateway_sends_no_redirects_and_making_it_again_changes_nothing(lab: Lab) -> None:
    netns.create(lab.name, ["10.77.0.2"])
    settings = Path("/proc/sys/net/ipv4/conf")
    for place in ("all", netns.POD_BRIDGE):
        said = netns.inside(lab.name, (settings / place / "send_redirects").read_text)
        assert said.strip() == "0"
    rules = subprocess.run(
        netns.command(lab.name, ["nft", "list", "ruleset"]), capture_output=True, text=True, check=True
    )
    assert rules.stdout.count("drop") == 3
