"""The whole life of a machine: parent, freeze, thaw, serve, restart, reboot, and a clone that was cloned.

The hypervisor is a folder (the stand-in rpctool), the machine's hardware is recorded; the agent is the real one.
"""

import asyncio
import os
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from vch_agent import phases, pod_vm, provider_port

from tests.guest import build
from tests.guest.machine import Guest, free_port, until


def _rss(pid: int) -> float:
    """In MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def test_a_parent_warms_up_freezes_when_told_and_serves_as_a_clone(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = provider_port.server_context

    def server_context(*given: Any) -> ssl.SSLContext:
        made.append("tls")
        return real(*given)

    monkeypatch.setattr(pod_vm, "server_context", server_context)
    os.mkfifo(guest.hypervisor.folder / ".thaw")
    guest.hypervisor.put("parent", {"node": "vch-0", "freeze": False})

    async with guest.services(), guest.agent():
        await until((guest.settings.run / "kubelet.env").exists)
        assert await guest.pods() == []  # a parent has no pod, and says so
        watching = await guest.warm_kubelet()
        guest.hypervisor.put("parent", {"node": "vch-0", "freeze": True})
        await until((guest.hypervisor.folder / ".frozen").exists)
        assert guest.done == made == []  # no TLS context before the freeze

        guest.identify()
        before = len(guest.hypervisor.calls())
        await asyncio.to_thread((guest.hypervisor.folder / ".thaw").write_text, "go\n")
        report = await guest.report()
        assert guest.done == ["reseed", "clock", "names", "nic", "gateway"]
        first, *macs, last = guest.hypervisor.calls()[before:]
        assert (first, last) == ("info-get guestinfo.vch.identity", "info-set guestinfo.vch.report")
        assert sorted(macs) == ["info-get guestinfo.vch.mac", "info-get guestinfo.vch.podMac"]  # at the same time
        assert await guest.pods() == 503  # of the clone's pod nothing is known yet

        provider = await guest.provider(report["port"])
        assert (await provider.hello())["resumed"] is False
        provider.feed(build.pod())
        provider.send(type="ping")
        await provider.receive()
        assert await guest.pods() == ["web"]
        assert len(guest.gateway.loaded) == 1  # in the parent: a Pod that is not isolated costs its clone no program
        # The warm kubelet's own watch, opened before the freeze, brings it the pod.
        assert b'"ADDED"' in await watching.readuntil(b"web")
        other = await guest.provider(report["port"])
        assert (await other.hello(uid="uid-2"))["reason"] == "WrongPod"
        assert await guest.pods() == ["web"]  # a provider that erred does not stop the right pod


async def test_a_clone_that_boots_goes_the_same_way_and_keeps_its_key(guest: Guest) -> None:
    guest.identify()
    async with guest.agent():
        first = await guest.report()
        assert await guest.pods() == 503
        provider = await guest.provider(first["port"])
        await provider.hello()
        provider.feed(build.pod())
        provider.send(type="ping")
        await provider.receive()
    guest.boot()
    guest.hypervisor.put("report", "null")
    async with guest.agent():
        assert (await guest.report())["fingerprint"] == first["fingerprint"]
        assert await guest.pods() == 503  # after a reboot the provider must be asked again
    assert guest.done == ["reseed", "clock", "names", "nic", "gateway"] * 2


async def test_a_restarted_agent_answers_at_once_from_its_state(guest: Guest) -> None:
    guest.identify()
    async with guest.agent():
        provider = await guest.provider((await guest.report())["port"])
        await provider.hello()
        provider.feed(build.pod(), build.config_map())
        provider.send(type="ping")
        await provider.receive()
        token = (guest.settings.run / "token").read_text()
    guest.hypervisor.put("report", "null")
    async with guest.agent():
        report = await guest.report()
        assert await guest.pods() == ["web"]
        assert (await (await guest.provider(report["port"])).hello())["resumed"] is True
        assert (guest.settings.run / "token").read_text() == token  # the kubelet still has it
    assert guest.done == ["reseed", "clock", *["names", "nic", "gateway"] * 2]  # no clock is turned back


@pytest.mark.parametrize("damage", ["", "{", '{"format": 1, "cloneId": "other", "objects": []}'])
async def test_without_its_state_a_restarted_agent_does_not_say_empty(guest: Guest, damage: str) -> None:
    guest.identify()
    async with guest.agent():
        await guest.report()
    (guest.settings.run / "state.json").write_text(damage)
    guest.hypervisor.put("report", "null")
    async with guest.agent():
        await guest.report()
        assert await guest.pods() == 503


async def test_a_clone_of_a_clone_refuses_when_a_provider_comes_and_ever_after(guest: Guest) -> None:
    guest.identify()
    async with guest.agent():
        provider = await guest.provider((await guest.report())["port"])
        guest.identify(cloneId="clone-2")
        assert (await provider.hello(clone_id="clone-2"))["reason"] == "CloneOfClone"
        report = await guest.report("Refused")
        assert (report["cloneId"], report["port"]) == ("clone-2", 0)
        assert await guest.pods() == 503
    guest.hypervisor.put("report", "null")
    async with guest.agent():
        assert "clone-1" in (await guest.report("Refused"))["message"]


async def test_a_clone_of_a_clone_finds_out_by_itself(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "_CHECK_EVERY", 0.05)
    guest.identify()
    async with guest.agent():
        port = (await guest.report())["port"]
        guest.identify(cloneId="clone-2")
        await guest.report("Refused")
        with pytest.raises(ConnectionError):
            await guest.provider(port)


async def test_a_disk_of_another_clone_is_refused_at_boot(guest: Guest) -> None:
    guest.identify()
    async with guest.agent():
        await guest.report()
    guest.boot()
    guest.identify(cloneId="clone-2")
    async with guest.agent():
        assert "belongs to clone clone-1" in (await guest.report("Refused"))["message"]


async def test_an_identity_that_cannot_be_read_is_refused_by_field(guest: Guest) -> None:
    guest.identify(address="nowhere")
    async with guest.agent():
        assert "identity.address" in (await guest.report("Refused"))["message"]


async def test_the_agent_stays_small(guest: Guest) -> None:
    """RSS under 40 MB, serving, with a 1 MB ConfigMap and after 20 connections. In a process of its own."""
    guest.identify()
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(phases.__file__).parents[1]),
        "VCH_ROOT": str(guest.settings.root),
        "VCH_RPCTOOL": guest.settings.rpctool,
        "VCH_PLATFORM": "native",
        "VCH_API_PORT": str(guest.settings.api_port),
        "VCH_PROVIDER_PORT": str(port := free_port()),
    }
    program = (
        "import asyncio; from vch_agent import gateway, phases, settings, thaw\n"
        "async def nic(*_): pass\n"
        "class Gateway(gateway.Gateway):\n"
        "    build = configure = keep = nft = nic\n"
        "own = lambda _: None, lambda *_, **__: 0.0, lambda *_: None, lambda _: False, nic, nic, Gateway\n"
        "machine = thaw.Machine(*own)\n"
        "asyncio.run(phases.run(settings.from_environment(), machine))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment)
    try:
        await guest.report()
        for _ in range(20):
            provider = await guest.provider(port)
            await provider.hello()
            provider.feed(build.pod(), build.config_map(key="x" * (1 << 20)))
            provider.send(type="ping")
            await provider.receive()
        rss = _rss(process.pid)
        assert rss < 40, f"{rss:.1f} MB"
    finally:
        process.kill()
        await process.wait()
