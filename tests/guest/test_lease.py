"""The Pod's address as a lease, for real (needs root): who gives it, who keeps it, and who has no say in it."""

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from vch_agent import cni, dhcp_client, kept_lease, lease
from vch_agent.gateway import Gateway
from vch_agent.identity import Identity
from vch_agent.lease import PodLease
from vch_agent.relay import Relay

from tests.guest import build, wires
from tests.guest.dhcp_server import SERVER, Server, serving
from tests.guest.wires import GATEWAY, PEER, POD_MAC, Wires, reaches, run, served

DISCOVER, REQUEST, DECLINE, RELEASE = 1, 3, 4, 7
LEASED = "10.78.0.251"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Wires]:
    with wires.guest(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dhcp_client, "_WAITS", (0.3, 0.3))
    monkeypatch.setattr(lease, "_FIRST_RETRY", 0.05)


class Provider:
    """The provider at the other end of a relay: agrees to everything but what it is told to refuse."""

    def __init__(self, relay: Relay) -> None:
        self.told: list[dict[str, Any]] = []
        self.refuses: set[str] = set()
        self._relay = relay
        self._came = asyncio.Condition()

    def connect(self) -> None:
        self._relay.attach(self._take)

    async def _take(self, frame: dict[str, Any]) -> None:
        body = frame["body"]
        refused = self.refuses & set(body.get("addresses", ()))
        code, value = (403, {"message": f"{refused} is another's"}) if refused else (200, {})
        assert (frame["verb"], frame["namespace"], frame["name"]) == ("reportLease", "default", "web")
        self.told.append(body)
        asyncio.get_running_loop().call_soon(self._relay.reply, frame["id"], code, value)
        async with self._came:
            self._came.notify_all()

    async def hears(self, **wanted: Any) -> dict[str, Any]:
        """What has this in it, once it was told."""

        def found() -> list[dict[str, Any]]:
            return [each for each in self.told if wanted.items() <= each.items()]

        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(found)
        return found()[-1]


class Clone:
    """An agent's part in it."""

    def __init__(self, lab: Wires, clone_id: str = "clone-1") -> None:
        network = build.pod_network(dhcp=True, addresses=[], gateways=[], denied=["10.9.0.0/24"])
        self.who = Identity.parse(build.identity(cloneId=clone_id, podNetwork=network, clientCA="x"))
        self.gateway = Gateway(lab.settings)
        relay = Relay()
        self.provider = Provider(relay)
        self.lease = PodLease(lab.settings, self.gateway, relay)
        self.lease.of(self.who)
        self._lab = lab

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[Provider]:
        await self.gateway.build({})
        await self.gateway.configure(kept_lease.network(self._lab.settings.lib, self.who), POD_MAC)
        keeping = asyncio.create_task(self.lease.keep())
        self.provider.connect()
        try:
            yield self.provider
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping


READY = {"addresses": [f"{LEASED}/24"], "ready": True}


async def test_a_pod_has_the_address_that_the_server_gives(lab: Wires) -> None:
    clone = Clone(lab)
    with serving(lab.lan, Server([LEASED])) as server:
        async with clone.alive() as provider:
            await provider.hears(**READY)
            lab.add_pod()
            with served(lab.lan, GATEWAY), served(lab.pod, LEASED), served(lab.peer, PEER):
                assert reaches(lab.pod, GATEWAY) == LEASED
                assert reaches(None, LEASED) == "169.254.1.1"
                assert reaches(lab.pod, PEER) == LEASED
        _, options, _ = server.wait_for(REQUEST)
        assert options[12] == b"web"
        assert options[61] == b"\0clone-1"
        assert options[50] == socket.inet_aton(LEASED)


async def test_nothing_is_configured_before_the_provider_agrees(lab: Wires) -> None:
    clone = Clone(lab)
    clone.provider.refuses = {"10.78.0.250/24"}
    with serving(lab.lan, Server(["10.78.0.250", LEASED])) as server:
        async with clone.alive() as provider:
            await provider.hears(**READY)
            assert server.wait_for(DECLINE)[1][50] == socket.inet_aton("10.78.0.250")
            assert "10.78.0.250" not in run("ip address", lab.inside)
            assert (lab.settings.etc / cni.FILE).exists()


async def test_an_address_that_somebody_has_is_declined(lab: Wires) -> None:
    clone = Clone(lab)
    with serving(lab.lan, Server([PEER, LEASED])) as server:
        async with clone.alive() as provider:
            told = await provider.hears(reason="NoLease")
            assert PEER in told["message"]
            await provider.hears(**READY)
            assert server.wait_for(DECLINE)[1][50] == socket.inet_aton(PEER)


async def test_without_an_answer_it_says_what_it_tried_and_goes_on_trying(lab: Wires) -> None:
    clone = Clone(lab)
    server = Server([LEASED])
    server.silent = True
    with serving(lab.lan, server):
        async with clone.alive() as provider:
            told = await provider.hears(reason="NoLease")
            assert f"no DHCP server answered 2 DISCOVERs of the card {POD_MAC}" in told["message"]
            assert not (lab.settings.etc / cni.FILE).exists()
            server.silent = False
            await provider.hears(**READY)


async def test_a_server_that_refuses_is_named_and_asked_again(lab: Wires) -> None:
    clone = Clone(lab)
    server = Server([LEASED])
    server.refusing = "not here"
    with serving(lab.lan, server):
        async with clone.alive() as provider:
            assert (await provider.hears(reason="NoLease"))["message"] == f"the DHCP server {SERVER} refused: not here"
            server.refusing = ""
            await provider.hears(**READY)


async def test_it_begins_when_the_card_is_connected(lab: Wires) -> None:
    run("ip link set port1 down", lab.lan)
    clone = Clone(lab)
    with serving(lab.lan, Server([LEASED])) as server:
        async with clone.alive() as provider:
            await asyncio.sleep(0.1)
            assert server.kinds() == []
            run("ip link set port1 up", lab.lan)
            await provider.hears(**READY)
            assert provider.told[0]["addresses"], "nothing was tried before"


async def test_it_is_renewed_at_the_server_and_then_anywhere(lab: Wires) -> None:
    clone = Clone(lab)
    server = Server([LEASED], seconds=600)
    server.timers = (1, 300)
    with serving(lab.lan, server):
        async with clone.alive() as provider:
            await provider.hears(**READY)
            with wires.listening_to(lab.lan, "port1") as heard:
                server.wait_for(REQUEST)
                await _heard(server, REQUEST, 2)
                assert server.wait_for(REQUEST, 2)[2] == LEASED
                renewals = [
                    each for each in wires.frames(heard) if each[36:38] == b"\0\x43" and each[12:14] == b"\x08\0"
                ]
            assert {socket.inet_ntoa(each[30:34]) for each in renewals} == {SERVER}
            assert {each[6:12].hex(":") for each in renewals} == {POD_MAC}


async def test_an_address_that_nobody_renews_is_the_pods_until_its_time_is_over(lab: Wires) -> None:
    clone = Clone(lab)
    with serving(lab.lan, Server([LEASED], seconds=3)) as server:
        async with clone.alive() as provider:
            await provider.hears(**READY)
            server.silent = True
            lab.add_pod()
            with served(lab.lan, GATEWAY):
                await _heard(server, REQUEST, 2)
                assert reaches(lab.pod, GATEWAY) == LEASED
                told = await provider.hears(reason="AddressLost")
                assert told["message"] == f"no DHCP server renewed {LEASED} within its 3 s"
                await _cut(lab)


@pytest.mark.parametrize("how", ["refused", "another"])
async def test_an_address_that_the_server_takes_back_is_not_used_any_more(lab: Wires, how: str) -> None:
    clone = Clone(lab)
    server = Server([LEASED], seconds=600)
    server.timers = (1, 300)
    with serving(lab.lan, server):
        async with clone.alive() as provider:
            await provider.hears(**READY)
            if how == "refused":
                server.refusing = "it is another's now"
            else:
                server.addresses = ["10.78.0.252"]
            told = await provider.hears(reason="AddressLost")
            assert ("it is another's now" if how == "refused" else "10.78.0.252 in place of") in told["message"]
            await _cut(lab)
            provider.told.clear()
            provider.connect()  # a provider that was started again
            await provider.hears(reason="AddressLost")
    restarted = Clone(lab)
    async with restarted.alive() as provider:
        await provider.hears(reason="AddressLost")


async def test_an_agent_that_restarts_goes_on_with_it_without_a_gap(lab: Wires) -> None:
    clone = Clone(lab)
    with serving(lab.lan, Server([LEASED])) as server:
        async with clone.alive() as provider:
            await provider.hears(**READY)
            lab.add_pod()
        server.silent = True
        again = Clone(lab)
        with served(lab.lan, GATEWAY):
            async with again.alive() as provider:
                assert reaches(lab.pod, GATEWAY) == LEASED
                await provider.hears(**READY)
                assert server.kinds() == [DISCOVER, REQUEST, REQUEST, REQUEST]
                assert server.heard[-1][1][50] == socket.inet_aton(LEASED)  # INIT-REBOOT


async def test_a_clone_knows_nothing_of_another_clones_lease(lab: Wires) -> None:
    with serving(lab.lan, Server([LEASED])) as server:
        async with Clone(lab).alive() as provider:
            await provider.hears(**READY)
        server.heard.clear()
        async with Clone(lab, "clone-2").alive() as provider:
            await provider.hears(**READY)
        assert server.kinds() == [DISCOVER, REQUEST]
        assert server.heard[0][1][61] == b"\0clone-2"


async def test_a_pod_that_has_ended_gives_its_address_back(lab: Wires) -> None:
    clone = Clone(lab)
    with serving(lab.lan, Server([LEASED])) as server:
        async with clone.alive() as provider:
            await provider.hears(**READY)
            await clone.lease.release()
            await clone.lease.release()
            await _heard(server, RELEASE, 1)
            assert server.wait_for(RELEASE)[2] == LEASED
            assert server.kinds().count(RELEASE) == 1
            assert not (lab.settings.lib / kept_lease.FILE).exists()


async def test_the_pod_neither_speaks_to_the_server_nor_hears_it(lab: Wires) -> None:
    clone = Clone(lab)
    with serving(lab.lan, Server([LEASED])) as server:
        async with clone.alive() as provider:
            await provider.hears(**READY)
            lab.add_pod()
            assert lab.pod is not None
            before = len(server.heard)
            with wires.listening_to(lab.pod, "eth0") as heard:
                for port in (68, 4000):
                    with lab.pod.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as wire:
                        wire.bind((LEASED, port))
                        wire.sendto(b"x" * 300, (SERVER, 67))
                with lab.lan.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as wire:
                    wire.sendto(b"lease", (LEASED, 68))
                    wire.sendto(b"other", (LEASED, 69))
                seen: list[bytes] = []
                async with asyncio.timeout(10):
                    while not any(b"other" in each for each in seen):
                        await asyncio.sleep(0.02)
                        seen += wires.frames(heard)
                assert not any(b"lease" in each for each in seen)
            assert len(server.heard) == before


async def test_dnsmasq_gives_renews_and_takes_back_a_lease(lab: Wires, tmp_path: Path) -> None:
    leases = tmp_path / "leases"
    leases.touch()
    daemon = subprocess.Popen(  # noqa: ASYNC220 - it is started, not waited for
        ["nsenter", f"--net={lab.lan.path}", "dnsmasq", "--no-daemon", "--port=0", "--conf-file=/dev/null",
         "--user=root", "--interface=br0", "--bind-interfaces", f"--dhcp-leasefile={leases}", "--dhcp-authoritative",
         f"--dhcp-range={LEASED},10.78.0.253,255.255.255.0,120s"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        clone = Clone(lab)
        async with clone.alive() as provider:
            address = (await provider.hears(ready=True))["addresses"][0].split("/")[0]
            words = leases.read_text().split()
            assert words[1:4] == [POD_MAC, address, "web"]
            client = clone.lease._client
            kept = kept_lease.load(lab.settings.lib, "clone-1")
            assert client is not None
            assert kept is not None
            assert str(kept.lease.gateway) == SERVER
            assert (await client.extend(kept.lease, anywhere=False)).address == kept.lease.address
            assert (await client.extend(kept.lease, anywhere=True)).address == kept.lease.address
            assert (await client.confirm(kept.lease)).address == kept.lease.address
            await clone.lease.release()
            await _until(lambda: leases.read_text() == "")
    finally:
        daemon.terminate()
        daemon.wait()


async def _heard(server: Server, kind: int, times: int) -> None:
    await _until(lambda: server.kinds().count(kind) >= times)


async def _until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - another thread's or program's
            await asyncio.sleep(0.02)


async def _cut(lab: Wires) -> None:
    def down() -> bool:
        (link,) = json.loads(run("ip -json link show uplink", lab.inside))
        return "UP" not in link["flags"]

    await _until(down)
