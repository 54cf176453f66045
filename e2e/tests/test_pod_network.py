"""The Pod's own address, and what reaches whom: judged by the frames on the laboratory's bridges, outside the guests.

On QEMU guests, which are real VMs. The Pods that attack run as root with NET_ADMIN and NET_RAW.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from e2e.lab.netns import HARDWARE_ADDRESSES, POD_BRIDGE, POD_GATEWAY
from e2e.tests import capture
from e2e.tests.builders import field_env, make_container, make_pod
from e2e.tests.capture import Capture
from e2e.tests.kube import Kube, KubeObject, ready
from e2e.tests.running_lab import RunningLab
from e2e.tests.serving import PORT, make_server
from e2e.tests.virtual_machines import VirtualMachines

START = 300
GATEWAY_CARD = HARDWARE_ADDRESSES[POD_BRIDGE]
ATTACKER = {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}, "runAsUser": 0}


@dataclass(frozen=True, slots=True)
class Two:
    """A Pod that attacks and one that serves, of different owners."""

    kube: Kube
    attacker: KubeObject
    victim: KubeObject

    def attack(self, script: str) -> str:
        """What the script printed in the attacker; how it ended does not matter."""
        done = self.kube.run("exec", "attacker", "--", "sh", "-c", script, check=False)
        return done.stdout.decode() + done.stderr.decode()

    def reached(self, doors: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
        """Those of the doors that open to the attacker; all are tried at once."""
        tries = (f"(nc -w 20 {address} {port} </dev/null && echo open {address} {port}) &" for address, port in doors)
        lines = self.attack("\n".join((*tries, "wait"))).splitlines()
        opened = [line.split()[1:] for line in lines if line.startswith("open ")]
        return {(address, int(port)) for address, port in opened}


@pytest.fixture(scope="module", name="two")
def _two(module_kube: Kube, qemu_node: str) -> Two:
    kube = module_kube
    kube.apply(
        make_pod(
            "attacker", qemu_node, make_container(securityContext=ATTACKER, env=[field_env("IP", "status.podIP")])
        ),
        make_server("victim", qemu_node),
    )
    return Two(kube, *(kube.until("pod", name, ready, timeout=START) for name in ("attacker", "victim")))


def test_a_pod_has_an_address_of_its_own_on_the_pod_network(two: Two) -> None:
    for pod in (two.attacker, two.victim):
        assert pod["status"]["podIP"].startswith(POD_GATEWAY.removesuffix("1"))
        assert pod["status"]["podIP"] != pod["status"]["hostIP"]
    address = two.attacker["status"]["podIP"]
    assert f"inet {address}/24" in two.attack("ip -4 address show eth0")
    assert two.attack("echo $IP").strip() == address
    assert "default via " + POD_GATEWAY in two.attack("ip route")


def test_pods_reach_one_another_through_the_gateway_and_no_other_way(two: Two) -> None:
    with capture.running() as wire:
        assert "victim" in two.attack(f"wget -qO- http://{two.victim['status']['podIP']}:{PORT}/")
    own, other = two.attacker["status"]["podIP"], two.victim["status"]["podIP"]
    mac = card_of(wire, own)
    assert {frame.destination for frame in wire.sent_by(mac) if frame.kind == "IPv4"} == {GATEWAY_CARD}
    assert not [frame for frame in wire.sent_by(mac) if frame.kind == "ARP" and frame.target == other]
    assert {frame.source for frame in wire.given_to(port_of(wire, other))} == {GATEWAY_CARD}


def test_nothing_forged_leaves_a_guest(two: Two) -> None:
    own, other = two.attacker["status"]["podIP"], two.victim["status"]["podIP"]
    forged = "02:00:00:00:66:66"
    with capture.running() as wire:
        assert "1 packets received" in two.attack(f"ping -c 1 -W 5 {POD_GATEWAY}")
        two.attack(f"""
            mac=$(cat /sys/class/net/eth0/address)
            as() {{ ip link set eth0 down; ip link set eth0 address $1; ip link set eth0 up
                    ip route replace default via {POD_GATEWAY} dev eth0; }}
            as {forged}
            ping -c 2 -W 1 {POD_GATEWAY}; ping -c 2 -W 1 {other}
            for source in {other} 10.77.0.1 {POD_GATEWAY}; do
                ip address add $source/32 dev eth0
                ping -c 2 -W 1 -I $source {POD_GATEWAY}; ping -c 2 -W 1 -I $source {other}
                ip address del $source/32 dev eth0
            done
            ip neigh replace {other} lladdr {forged} dev eth0; ping -c 2 -W 1 {other}; ip neigh del {other} dev eth0
            as $mac""")
        assert "1 packets received" in two.attack(f"ping -c 1 -W 5 {POD_GATEWAY}"), "it is whole again"
    sent = wire.sent_by(card_of(wire, own))
    assert {frame.sender for frame in sent if frame.kind == "IPv4"} == {own}
    assert {(frame.sender, frame.sender_mac) for frame in sent if frame.kind == "ARP"} <= {(own, sent[0].source)}
    assert not [frame for frame in wire.frames if forged in (frame.source, frame.sender_mac)]
    assert not [frame for frame in wire.given_to(port_of(wire, other)) if frame.source != GATEWAY_CARD]


def test_root_in_a_pod_reaches_nothing_of_the_guests_own(two: Two, vms: VirtualMachines, lab: RunningLab) -> None:
    found = [vm["name"] for pod in (two.attacker, two.victim) for vm in vms.of(pod["metadata"]["uid"])]
    managed = [lab.management_address(name) for name in found]
    doors = [(address, port) for address in managed for port in (10350, 10250, 22)]
    doors += [(link, port) for link in ("169.254.1.1", "169.254.1.2") for port in (10250, 10350, 8001)]
    assert len(managed) == 2
    served = (two.victim["status"]["podIP"], PORT)
    assert two.reached([*doors, served]) == {served}
    two.attack("ip address add 169.254.1.6/24 dev eth0; ip route replace 10.77.0.0/24 dev eth0")
    assert two.reached([*doors, served]) == {served}
    two.attack("ip address del 169.254.1.6/24 dev eth0; ip route del 10.77.0.0/24 dev eth0")


def card_of(wire: Capture, address: str) -> str:
    """The hardware address of the guest that sends with this address."""
    (mac,) = {frame.source for frame in wire.frames if not frame.to_guest and frame.sender == address}
    return mac


def port_of(wire: Capture, address: str) -> str:
    """The bridge's port behind which an address answers."""
    (port,) = {f.port for f in wire.frames if not f.to_guest and f.sender == address and f.kind == "IPv4"}
    return port
