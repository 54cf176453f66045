"""Standby clones: thawed and connected without a pod, bound to one, once."""

from typing import Any

import pytest

from tests.guest import build
from tests.guest.machine import Guest, until

_POD = {"namespace": "default", "name": "web", "uid": "uid-1"}


async def test_a_standby_clone_reports_and_greets_without_a_pod_and_is_bound_later(guest: Guest) -> None:
    guest.identify(pod=None, hostname="")
    async with guest.agent():
        port = (await guest.report())["port"]
        early = await guest.provider(port)
        assert (await early.hello(uid=""))["podUID"] == ""
        early.feed(build.node(), services=[build.service()])
        early.send(type="ping")
        await early.receive()
        assert await guest.pods() == []  # a clone without a pod has none: that is the truth
        assert (await (await guest.provider(port)).hello(uid="uid-1"))["reason"] == "WrongPod"
        guest.identify(pod=_POD)
        provider = await guest.provider(port)
        assert (await provider.hello())["podUID"] == "uid-1"
        assert await early.ended()
        provider.feed(build.node(), build.pod())
        provider.send(type="ping")
        await provider.receive()
        assert await guest.pods() == ["web"]
        assert guest.done == ["reseed", "clock", "names", "nic", "gateway", "names"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"pod": {**_POD, "uid": "uid-2"}}, "OtherPod"),
        ({"pod": None}, "OtherPod"),
        ({"pod": {"uid": "uid-2"}}, "BadIdentity"),
    ],
)
@pytest.mark.parametrize("standby", [True, False])
async def test_a_clone_is_bound_once(guest: Guest, change: dict[str, Any], reason: str, standby: bool) -> None:
    guest.identify(pod=None if standby else _POD)
    async with guest.agent():
        port = (await guest.report())["port"]
        if standby:
            guest.identify(pod=_POD)
            assert (await (await guest.provider(port)).hello())["type"] == "welcome"
        guest.identify(**change)
        assert (await (await guest.provider(port)).hello())["reason"] == reason
        await guest.report("Refused")


@pytest.mark.parametrize(
    "change",
    [{"address": "127.0.0.2/8"}, {"podNetwork": build.pod_network(addresses=["10.78.0.21/24"])}],
)
async def test_binding_changes_nothing_but_pod_and_host_name(guest: Guest, change: dict[str, Any]) -> None:
    guest.identify(pod=None)
    async with guest.agent():
        port = (await guest.report())["port"]
        guest.identify(pod=_POD, **change)
        assert (await (await guest.provider(port)).hello())["reason"] == "OtherPod"


async def test_a_standby_clone_that_boots_or_restarts_is_the_same(guest: Guest) -> None:
    guest.identify(pod=None)
    async with guest.agent():
        first = await guest.report()
    for boot in (False, True):
        if boot:
            guest.boot()
        guest.hypervisor.put("report", "null")
        async with guest.agent():
            assert (await guest.report())["fingerprint"] == first["fingerprint"]
    guest.identify(pod=_POD)
    guest.boot()
    guest.hypervisor.put("report", "null")
    async with guest.agent():
        assert (await (await guest.provider((await guest.report())["port"])).hello())["podUID"] == "uid-1"


@pytest.mark.parametrize("standby", [True, False])
async def test_the_pod_outlives_a_boot(guest: Guest, standby: bool) -> None:
    guest.identify(pod=None if standby else _POD)
    async with guest.agent():
        port = (await guest.report())["port"]
        guest.identify(pod=_POD)
        await (await guest.provider(port)).hello()
    guest.boot()
    guest.identify(pod={**_POD, "uid": "uid-2"})
    async with guest.agent():
        assert "of pod uid-1" in (await guest.report("Refused"))["message"]


async def test_a_standby_clone_asks_for_no_address_before_it_has_a_pod_whose_name_to_give(guest: Guest) -> None:
    network = build.pod_network(dhcp=True, addresses=[], gateways=[])
    guest.identify(pod=None, hostname="", podNetwork=network)
    async with guest.agent():
        port = (await guest.report())["port"]
        assert (await (await guest.provider(port)).hello(uid=""))["podUID"] == ""
        assert not [each for each in guest.done if each.startswith("dhcp")]
        guest.identify(pod=_POD, podNetwork=network)
        assert (await (await guest.provider(port)).hello())["podUID"] == "uid-1"
        await until(lambda: "dhcp web" in guest.done)
