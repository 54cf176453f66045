"""The gateway namespace, for real (needs root): who reaches whom, and what never leaves."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from vch_agent import firewall
from vch_agent.gateway import OneCard
from vch_agent.pod_objects import PodObjects
from vch_agent.process import ProgramFailed
from vch_agent.store import Store

from tests.guest import build, wires
from tests.guest.wires import GATEWAY, PEER, POD, POD_MAC, Wires, reaches, run, served


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Wires]:
    with wires.guest(tmp_path) as made:
        yield made


async def test_the_pod_reaches_the_network_by_its_own_address(lab: Wires) -> None:
    await lab.ready()
    with served(lab.lan, GATEWAY) as server:
        assert reaches(lab.pod, GATEWAY) == POD
        assert server.accept()[1][0] == POD
    shown = json.loads(run("ip -json address show eth0", lab.pod))[0]
    assert shown["address"] == POD_MAC  # unique to the Pod, as its card's is


async def test_the_network_and_the_kubelet_reach_the_pod(lab: Wires) -> None:
    await lab.ready()
    with served(lab.pod, POD) as server:
        assert reaches(lab.lan, POD) == GATEWAY
        assert server.accept()[1][0] == GATEWAY
        assert reaches(None, POD) == "169.254.1.1"  # a probe
        assert server.accept()[1][0] == "169.254.1.1"
    with served(lab.pod, "0.0.0.0", 81):
        assert reaches(None, POD, 82) == "refused"


async def test_the_pod_reaches_neither_the_guest_nor_the_gateway_namespace(lab: Wires) -> None:
    await lab.ready()
    with (
        served(None, "0.0.0.0"),
        lab.gateway.listen("0.0.0.0", 80),
    ):
        assert reaches(None, "169.254.1.1")
        for address in ("169.254.1.1", "169.254.1.2"):
            assert reaches(lab.pod, address, within=0.7) is None
        assert reaches(lab.lan, POD, within=0.7) == "refused"  # the Pod's own answer, not the namespace's


async def test_what_is_denied_is_out_of_the_pods_reach(lab: Wires) -> None:
    await lab.ready(isolation="None", denied=[f"{PEER}-10.78.0.40", "10.78.0.32/28"])
    with served(lab.peer, PEER), served(lab.lan, GATEWAY):
        assert reaches(lab.pod, PEER, within=0.7) is None
        assert reaches(lab.pod, GATEWAY) == POD


async def test_a_source_that_is_not_the_pods_goes_nowhere(lab: Wires) -> None:
    await lab.ready()
    run("ip address add 10.78.0.99/32 dev eth0", lab.pod)
    run(f"ip route add 10.78.0.99 via {POD}", lab.lan)
    with wires.listening_to(lab.lan, "br0") as heard, served(lab.lan, GATEWAY):
        assert reaches(lab.pod, GATEWAY, source="10.78.0.99", within=0.7) is None
        assert reaches(lab.pod, GATEWAY) == POD
        sources = {socket.inet_ntoa(frame[26:30]) for frame in wires.frames(heard) if frame[12:14] == b"\x08\x00"}
        assert sources == {POD, GATEWAY}


async def test_nobody_else_can_be_the_pod_or_the_guest(lab: Wires) -> None:
    await lab.ready()
    run("ip address add 169.254.1.1/32 dev lo", lab.peer)
    run(f"ip route add {POD} dev eth0", lab.peer)
    with served(lab.pod, POD):
        assert reaches(lab.peer, POD) == PEER
        assert reaches(lab.peer, POD, source="169.254.1.1", within=0.7) is None


@pytest.mark.parametrize(("isolation", "peers"), [("Pod", set()), ("Namespace", {PEER}), ("None", {PEER})])
async def test_an_isolated_pod_never_asks_for_another(lab: Wires, isolation: str, peers: set[str]) -> None:
    with wires.listening_to(lab.lan, "port1") as heard:
        await lab.ready(isolation=isolation)
        with served(lab.peer, PEER), served(lab.lan, GATEWAY):
            assert reaches(lab.pod, GATEWAY) == POD
            assert reaches(lab.pod, PEER) == POD  # one way or the other
        asked = wires.asked_for(
            [frame for frame in wires.frames(heard) if frame[6:12] == bytes.fromhex("525400000002")]
        )
        assert asked == {GATEWAY} | peers


async def test_the_network_asks_for_the_pod_and_is_answered_with_its_cards_mac(lab: Wires) -> None:
    await lab.ready()
    reaches(lab.peer, POD)
    (known,) = [each for each in json.loads(run("ip -json neighbour", lab.peer)) if each["dst"] == POD]
    assert known["lladdr"] == POD_MAC


@pytest.mark.parametrize("tidily", [True, False])
async def test_the_next_sandbox_finds_its_interface(lab: Wires, tidily: bool) -> None:
    await lab.ready()
    keeping = asyncio.create_task(lab.gateway.keep())
    await asyncio.sleep(0)
    lab.remove_pod(tidily=tidily)
    async with asyncio.timeout(10):
        while not ("vchpod" in run("ip link") and "pod" in run("ip link", lab.inside)):  # noqa: ASYNC110 - the kernel's
            await asyncio.sleep(0.02)
    lab.add_pod()
    with served(lab.lan, GATEWAY), served(lab.pod, POD):
        assert reaches(lab.pod, GATEWAY) == POD
        assert reaches(None, POD) == "169.254.1.1"
    keeping.cancel()


async def test_it_is_announced_when_the_card_is_connected(lab: Wires) -> None:
    run("ip link set port1 down", lab.lan)
    with wires.listening_to(lab.lan, "br0") as heard:
        async with asyncio.timeout(10):
            await lab.ready()  # a clone's cards are connected later
            keeping = asyncio.create_task(lab.gateway.keep())
            await asyncio.sleep(0.05)
            assert wires.announced(wires.frames(heard)) == set()
            run("ip link set port1 up", lab.lan)
            told: set[str] = set()
            while POD not in told:
                await asyncio.sleep(0.02)
                told |= wires.announced(wires.frames(heard))
    keeping.cancel()


async def test_building_and_configuring_again_changes_nothing(lab: Wires) -> None:
    await lab.ready(denied=["10.9.0.0/24"])
    await lab.gateway.nft(f"add rule inet {firewall.TABLE} policy_egress tcp dport 81 drop")

    def shown() -> list[str]:
        commands = ("ip -oneline address", "ip route show table all", "ip rule", "ip neighbour show proxy")
        return [run(command, lab.inside) for command in (*commands, "nft list ruleset")] + [run("ip route")]

    before = shown()
    assert "tcp dport 81 drop" in before[4]
    other = type(lab.gateway)(lab.settings)  # an agent that was started again
    await other.build({})
    await other.configure(lab.network(denied=["10.9.0.0/24"]), POD_MAC)
    assert shown() == before
    with served(lab.lan, GATEWAY):
        assert reaches(lab.pod, GATEWAY) == POD


async def test_a_fed_firewall_holds_is_changed_and_outlives_the_agent(lab: Wires) -> None:
    await lab.ready()
    objects = PodObjects(Store(), lab.gateway.nft)
    await objects.snapshot([build.firewall(build.CLOSED), build.pod()])
    with served(lab.pod, POD), served(lab.pod, POD, 81), served(lab.peer, PEER):
        assert reaches(lab.peer, POD, within=0.7) is None
        assert reaches(None, POD) == "169.254.1.1"  # the kubelet's probe
        assert reaches(lab.pod, PEER) == POD
        objects.apply(build.firewall(build.allowing(PEER)))
        assert await objects.firewall.settled(5)
        assert reaches(lab.peer, POD) == PEER
        assert reaches(lab.peer, POD, 81, within=0.7) is None
        assert reaches(lab.lan, POD, within=0.7) is None

        other = type(lab.gateway)(lab.settings)  # an agent that was started again
        await other.build({})
        await other.configure(lab.network(), POD_MAC)
        assert reaches(lab.lan, POD, within=0.7) is None, "not for a moment is it open"
        restored = PodObjects(Store(), other.nft)
        await restored.restore(objects.exported())
        assert reaches(lab.peer, POD) == PEER
        assert reaches(lab.lan, POD, within=0.7) is None

        await restored.snapshot([build.pod()])
        assert reaches(lab.lan, POD) == GATEWAY


async def test_nothing_passes_before_the_pod_has_its_address(lab: Wires) -> None:
    await lab.gateway.build({})
    assert "@own4 drop" in run("nft list chain inet vch spoofed", lab.inside)
    assert "elements" not in run("nft list set inet vch own4", lab.inside)
    (route,) = json.loads(run("ip -json route", lab.inside))
    assert (route["dst"], route["dev"]) == ("169.254.1.0/30", "host")


async def test_programs_inside_reach_what_listens_inside(lab: Wires) -> None:
    await lab.gateway.build({})
    with lab.gateway.listen("127.0.0.1", 0) as server:
        port = server.getsockname()[1]
        assert reaches(lab.inside, "127.0.0.1", port) == "127.0.0.1"
        assert reaches(None, "127.0.0.1", port) == "refused"
    process = await asyncio.create_subprocess_exec(*lab.gateway.command(["ip", "-br", "link"]), stdout=-1)
    said, _ = await process.communicate()
    assert {line.split()[0].split(b"@")[0] for line in said.splitlines()} == {b"lo", b"host", b"uplink", b"pod"}


async def test_a_mistake_in_the_rules_is_named_and_changes_nothing(lab: Wires) -> None:
    await lab.gateway.build({})
    before = run("nft list ruleset", lab.inside)
    with pytest.raises(ProgramFailed, match="syntax error"):
        await lab.gateway.nft("flush chain inet vch forward\nnonsense")
    assert run("nft list ruleset", lab.inside) == before


async def test_a_pod_without_a_gateway_still_has_its_neighbours_and_its_probes(lab: Wires) -> None:
    await lab.ready(gateways=[], isolation="None")
    with served(lab.peer, PEER), served(lab.pod, POD):
        assert reaches(lab.pod, PEER) == POD
        assert reaches(None, POD) == "169.254.1.1"


async def test_a_services_address_leads_to_another_machine_or_back_to_the_pod(lab: Wires) -> None:
    """As kube-proxy makes it, in tables of its own."""
    await lab.ready()
    await lab.gateway.nft(
        "table ip services {\n"
        " chain to { type nat hook prerouting priority dstnat;\n"
        f"  ip daddr 10.96.0.5 dnat to {GATEWAY}\n  ip daddr 10.96.0.6 dnat to {POD}\n }}\n"
        " chain from { type nat hook postrouting priority srcnat;\n"
        f"  ip saddr {POD} ip daddr {POD} masquerade\n }}\n}}\n"
    )
    with served(lab.lan, GATEWAY), served(lab.pod, POD) as own:
        assert reaches(lab.pod, "10.96.0.5") == POD
        assert reaches(lab.pod, "10.96.0.6") == POD
        assert own.accept()[1][0] == "169.254.1.2"  # not itself, which it would not answer


async def test_a_smaller_packet_size_of_the_network_is_the_pods_too(lab: Wires) -> None:
    run("ip link set eth1 mtu 1400")
    await lab.ready()
    assert json.loads(run("ip -json link show eth0", lab.pod))[0]["mtu"] == 1400


@pytest.mark.parametrize("isolation", ["Pod", "None"])
async def test_a_pod_may_have_an_ipv6_address_too(lab: Wires, isolation: str) -> None:
    both = {"addresses": [f"{POD}/24", "fd78::20/64"], "gateways": [GATEWAY, "fd78::1"]}
    await lab.ready(isolation=isolation, **both)
    with served(lab.lan, "fd78::1"), served(lab.pod, "fd78::20"), served(lab.lan, GATEWAY):
        assert "tentative" not in run("ip -6 address show scope global", lab.pod), "it is good at once"
        assert reaches(lab.pod, "fd78::1") == "fd78::20"
        assert reaches(lab.lan, "fd78::20") == "fd78::1"
        assert reaches(None, "fd78::20") == firewall.HOST6
        assert reaches(lab.pod, firewall.HOST6, within=0.7) is None
        assert reaches(lab.pod, GATEWAY) == POD


async def test_the_pod_has_the_network_settings_of_its_parent_that_a_namespace_has(lab: Wires) -> None:
    await lab.ready(
        {"net.core.somaxconn": "1777", "net/ipv4/tcp_syncookies": "2", "net.core.bpf_jit_limit": "1", "kernel.x": "1"}
    )
    for name, value in (("core/somaxconn", "1777"), ("ipv4/tcp_syncookies", "2")):
        assert run(f"cat /proc/sys/net/{name}", lab.pod).strip() == value
        assert run(f"cat /proc/sys/net/{name}", lab.inside).strip() != value
    lab.remove_pod(tidily=True)
    lab.add_pod()
    assert run("cat /proc/sys/net/core/somaxconn", lab.pod).strip() == "1777"


async def test_a_guest_with_one_card_is_told_what_it_lacks(lab: Wires, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vch_agent.nic._APPEARS_WITHIN", 0.05)
    run("ip link delete eth1")
    with pytest.raises(OneCard, match=r"eth1 did not appear .* needs two network cards"):
        await lab.gateway.build({})


async def test_a_card_that_comes_back_to_the_root_namespace_is_taken_again(lab: Wires) -> None:
    """As a vmxnet3 card does when its driver is bound again."""
    await lab.gateway.build({})
    run("ip link delete uplink", lab.inside)
    run(f"ip link add eth1 type veth peer name port1 netns {lab.lan.path}")
    run("ip link set port1 master br0 up", lab.lan)
    await lab.gateway.configure(lab.network(), None)
    lab.add_pod()
    with served(lab.lan, GATEWAY):
        assert reaches(lab.pod, GATEWAY) == POD
