"""A parent's life: prepared, warm, frozen, forked, forked again; and what never may be a parent."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from vch_agent import parenthood, preparation
from vch_agent.gateway import OneCard
from vch_agent.process import ProgramFailed
from vch_agent.settings import Platform

from tests.guest import build
from tests.guest.build import Booted, Recorder
from tests.guest.machine import Guest, until


@asynccontextmanager
async def _frozen(guest: Guest, **parent: Any) -> AsyncIterator[dict[str, Any]]:
    """A parent that froze; its last report."""
    os.mkfifo(guest.hypervisor.folder / ".thaw")
    guest.hypervisor.put("parent", build.parent(**parent))
    async with guest.services(), guest.agent():
        await until((guest.settings.run / "kubelet.env").exists)
        await guest.warm_kubelet()
        yield await _until_frozen(guest)


async def _until_frozen(guest: Guest) -> dict[str, Any]:
    frozen = guest.hypervisor.folder / ".frozen"
    await until(frozen.exists)
    frozen.unlink()
    report: dict[str, Any] = guest.hypervisor.get("report")
    return report


async def _thaw(guest: Guest) -> None:
    await asyncio.to_thread((guest.hypervisor.folder / ".thaw").write_text, "go\n")


async def _report(guest: Guest, phase: str, parent_id: str = "parent-1") -> dict[str, Any]:
    def said() -> Any:
        report = guest.hypervisor.get("report")
        return report if report and (report["phase"], report.get("parentId")) == (phase, parent_id) else None

    found: dict[str, Any] = await until(said)
    return found


async def test_a_parent_is_prepared_and_reports_before_it_freezes(guest: Guest) -> None:
    async with _frozen(guest, kernelModules=["dummy"]) as report:
        assert guest.system.done == ["module dummy"]
        assert (report["parentId"], report["phase"]) == ("parent-1", "Warm")
        assert report["guest"] == {
            "osImage": "Debian",
            "kernelVersion": "6.1",
            "kubeletVersion": "",
            "containerRuntimeVersion": "containerd://1.6.20",
            "agentVersion": "0.1.0",
            "images": [{"names": ["vch.dev/pause:1"], "sizeBytes": 7}],
            "sharesMemory": True,
        }


async def test_a_fork_becomes_a_parent_of_its_own_and_so_does_a_fork_of_it(guest: Guest) -> None:
    async with _frozen(guest, kernelModules=["dummy"]):
        guest.done.clear()
        for parent_id, module in (("fork-1", "nbd"), ("fork-2", "loop")):
            guest.hypervisor.put("parent", build.parent(parent_id, kernelModules=[module]))
            await _thaw(guest)
            report = await _until_frozen(guest)
            assert (report["parentId"], report["phase"]) == (parent_id, "Warm")
            assert report["guest"]["sharesMemory"] is True
        assert guest.done == ["reseed", "clock"] * 2
        assert guest.system.done == [f"module {name}" for name in ("dummy", "dummy", "nbd", "dummy", "nbd", "loop")]

        guest.identify()
        before = len(guest.hypervisor.calls())
        await _thaw(guest)
        await guest.report()
        # A clone of a fork costs no more than any other.
        calls = guest.hypervisor.calls()[before:]
        assert sorted(calls) == [
            "info-get guestinfo.vch.identity",
            "info-get guestinfo.vch.mac",
            "info-get guestinfo.vch.podMac",
            "info-set guestinfo.vch.report",
        ]


async def test_a_fork_that_boots_is_prepared_again_and_shares_nothing_any_more(guest: Guest) -> None:
    async with _frozen(guest, kernelModules=["dummy"]):
        guest.hypervisor.put("parent", build.parent("fork-1", kernelModules=["nbd"]))
        await _thaw(guest)
        await _until_frozen(guest)
    guest.boot()
    guest.system = Recorder()
    (guest.hypervisor.folder / ".thaw").unlink()
    async with _frozen(guest, parent_id="fork-1", kernelModules=["nbd"]) as report:
        assert guest.system.done == ["module dummy", "module nbd"]
        assert report["guest"]["sharesMemory"] is False


async def test_a_freeze_that_fails_leaves_the_parent_what_it_is(guest: Guest) -> None:
    guest.hypervisor.put("parent", build.parent())
    async with guest.services(), guest.agent():
        await until((guest.settings.run / "kubelet.env").exists)
        await guest.warm_kubelet()
        await _report(guest, "Warm")
        done = list(guest.done)
        await until(lambda: guest.hypervisor.calls().count("instantclone.freeze") > 1)
        report = guest.hypervisor.get("report")
        assert (report["phase"], report["guest"]["osImage"]) == ("Warm", "Debian")
        assert "this machine cannot be frozen" in report["message"]
        assert guest.done == done
        os.mkfifo(guest.hypervisor.folder / ".thaw")
        await _until_frozen(guest)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"node": "other"}, "parent.node"),
        ({"seed": None}, "parent.seed"),
        ({"setup": {"sysctls": []}}, "parent.setup.sysctls"),
    ],
)
async def test_a_fork_that_cannot_be_says_so_and_can_be_mended(guest: Guest, change: dict[str, Any], said: str) -> None:
    async with _frozen(guest):
        guest.hypervisor.put("parent", build.parent("fork-1") | change)
        await _thaw(guest)
        assert said in (await _report(guest, "Failed", "fork-1"))["message"]
        guest.hypervisor.put("parent", build.parent("fork-1"))
        assert (await _until_frozen(guest))["phase"] == "Warm"


async def test_a_step_that_fails_is_reported_with_its_cause(guest: Guest) -> None:
    guest.system.failing["module dummy"] = ProgramFailed("modprobe ended with 1: Module dummy not found")
    guest.hypervisor.put("parent", build.parent(kernelModules=["dummy"]))
    async with guest.agent():
        report = await _report(guest, "Failed")
        assert report["message"] == "setup.kernelModules dummy: modprobe ended with 1: Module dummy not found"
        assert report["guest"]["kernelVersion"] == "6.1"
        assert "instantclone.freeze" not in guest.hypervisor.calls()


async def test_a_native_parent_refuses_what_is_its_hosts(guest: Guest) -> None:
    guest.settings = replace(guest.settings, platform=Platform.NATIVE)
    guest.hypervisor.put("parent", build.parent(kernelParameters=["panic=5"]))
    async with guest.agent():
        assert "setup.kernelParameters" in (await _report(guest, "Failed"))["message"]
        assert guest.system.done == []


async def test_a_native_guest_shares_no_memory(guest: Guest) -> None:
    guest.settings = replace(guest.settings, platform=Platform.NATIVE)
    async with _frozen(guest) as report:
        assert report["guest"]["sharesMemory"] is False


async def test_a_boot_for_kernel_parameters_is_said_before_and_reported_after(guest: Guest) -> None:
    guest.hypervisor.put("parent", build.parent(kernelParameters=["panic=5"]))
    with pytest.raises(Booted):
        await asyncio.wait_for(guest.run(), 20)
    assert guest.hypervisor.get("report")["message"] == "booting the kernel with panic=5"
    guest.boot()
    guest.system = Recorder("quiet panic=5")
    async with _frozen(guest, kernelParameters=["panic=5"]) as report:
        assert report["guest"]["sharesMemory"] is False
        guest.hypervisor.put("parent", build.parent("fork-1"))
        await _thaw(guest)
        # The fork of one that was booted shares with that.
        assert (await _until_frozen(guest))["guest"]["sharesMemory"] is True


async def test_what_is_asked_of_a_parent_may_change_until_it_freezes(guest: Guest) -> None:
    guest.hypervisor.put("parent", build.parent(freeze=False))
    os.mkfifo(guest.hypervisor.folder / ".thaw")
    async with guest.services(), guest.agent():
        await until((guest.settings.run / "kubelet.env").exists)
        await guest.warm_kubelet()
        await _report(guest, "Warm")
        guest.hypervisor.put("parent", build.parent(kernelModules=["dummy"]))
        assert (await _until_frozen(guest))["phase"] == "Warm"
        assert guest.system.done == ["module dummy"]


@pytest.mark.parametrize("booted", [False, True])
async def test_what_was_a_clone_once_is_never_a_parent(guest: Guest, booted: bool) -> None:
    guest.identify()
    async with guest.agent():
        await guest.report()
    if booted:
        guest.boot()
    guest.hypervisor.put("identity", "")
    guest.hypervisor.put("parent", build.parent("fork-1"))
    async with guest.agent():
        assert "was clone clone-1" in (await _report(guest, "Failed", "fork-1"))["message"]
        assert "instantclone.freeze" not in guest.hypervisor.calls()


async def test_a_fork_made_of_a_running_pod_vm_refuses(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vch_agent.phases._CHECK_EVERY", 0.05)
    async with _frozen(guest):
        guest.identify()
        await _thaw(guest)
        await guest.report()
        guest.hypervisor.put("identity", "")
        await asyncio.sleep(0.2)
        assert guest.hypervisor.get("report")["phase"] == "Ready"  # unset says nothing by itself
        guest.hypervisor.put("parent", build.parent("fork-1"))
        await guest.report("Refused")


async def test_a_clone_that_boots_has_its_parents_modules_and_sysctls_again(guest: Guest) -> None:
    async with _frozen(guest, kernelModules=["dummy"], sysctls={"net.core.somaxconn": "9"}):
        guest.identify()
        await _thaw(guest)
        await guest.report()
    guest.boot()
    guest.hypervisor.put("report", "null")
    guest.system = Recorder()
    guest.system.failing["module dummy"] = ProgramFailed("no such module")
    async with guest.agent():
        await guest.report()
        assert guest.system.done == ["module dummy", "sysctl net.core.somaxconn=9"]


async def test_a_damaged_record_is_no_reason_not_to_be_a_parent(guest: Guest) -> None:
    guest.settings.lib.mkdir(parents=True)
    (guest.settings.lib / "setup.json").write_text("[]")
    async with _frozen(guest) as report:
        assert report["phase"] == "Warm"
        assert preparation.load(guest.settings.lib).parent_id == "parent-1"


async def test_a_report_has_no_more_images_than_a_node(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parenthood, "_MOST_IMAGES", 0)
    async with _frozen(guest) as report:
        assert report["guest"]["images"] == []


async def test_the_pods_network_is_made_before_the_freeze_and_given_its_address_after(guest: Guest) -> None:
    async with _frozen(guest):
        assert (guest.gateway.built, "gateway" in guest.done) == (1, False)
        guest.identify()
        await _thaw(guest)
        await guest.report()
        assert (guest.gateway.built, "gateway" in guest.done) == (1, True)
        await until(lambda: guest.gateway.kept and guest.announced)
        assert guest.announced == ["127.0.0.1"]


async def test_a_template_with_one_network_card_is_no_parent(guest: Guest) -> None:
    guest.gateway.failing["build"] = OneCard("a pod VM needs two network cards")
    guest.hypervisor.put("parent", build.parent())
    async with guest.agent():
        assert "needs two network cards" in (await _report(guest, "Failed"))["message"]


async def test_a_parent_whose_rules_cannot_be_loaded_is_none(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clones could not isolate a Pod."""
    monkeypatch.setattr(parenthood, "_OPENS_WITHIN", 0.1)
    guest.gateway.failing["nft"] = ProgramFailed("nft ended with 1")
    guest.hypervisor.put("parent", build.parent())
    async with guest.agent():
        assert "nft has not emptied" in (await _report(guest, "Failed"))["message"]


async def test_a_clone_with_one_network_card_refuses(guest: Guest) -> None:
    guest.gateway.failing["build"] = OneCard("a pod VM needs two network cards")
    guest.identify()
    async with guest.agent():
        assert "needs two network cards" in (await guest.report("Refused"))["message"]


async def test_the_kubelet_is_told_the_clusters_dns_and_again_when_its_clone_boots(guest: Guest) -> None:
    def told() -> Any:
        config = json.loads((guest.settings.run / "kubelet/config.json").read_text())
        return config.get("clusterDNS"), config.get("clusterDomain")

    dns = {"servers": ["10.96.0.10"], "domain": "cluster.local"}
    async with _frozen(guest, dns=dns):
        assert told() == (["10.96.0.10"], "cluster.local")
        guest.hypervisor.put("parent", build.parent("fork-1", dns={"servers": ["10.96.0.11"]}))
        await _thaw(guest)
        assert "setup.dns" in (await _report(guest, "Failed", "fork-1"))["message"]
        guest.hypervisor.put("parent", build.parent("fork-1"))
        await _until_frozen(guest)
        guest.identify()
        await _thaw(guest)
        await guest.report()
    guest.boot()
    guest.hypervisor.put("report", "null")
    async with guest.agent():
        await guest.report()
        assert told() == (["10.96.0.10"], "cluster.local")
