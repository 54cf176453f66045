"""A Pod's firewall is in force before the kubelet sees the Pod, and the newest wins."""

import asyncio
from typing import Any

import pytest
from vch_agent import pod_firewall, pod_objects
from vch_agent.pod_objects import PodObjects
from vch_agent.process import ProgramFailed
from vch_agent.resources import NODES, PODS
from vch_agent.store import Store

from tests.guest import build
from tests.guest.build import CLOSED, OPEN
from tests.guest.machine import Guest, until

FLUSHED = "flush chain inet vch policy_ingress\nflush chain inet vch policy_egress\n"
SHUT = f"{FLUSHED}add rule inet vch policy_ingress drop\n"


class Gateway:
    """What was loaded, and in which state the store was then; it waits and fails as told."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.seen: list[int] = []
        """How many Pods the kubelet could see."""
        self.tried = 0
        self.failing = False
        self.passing = asyncio.Event()
        self.passing.set()
        self.objects = PodObjects(Store(), self.load)

    async def load(self, text: str) -> None:
        self.tried += 1
        self.seen.append(len(self.objects.store.all(PODS)))
        await self.passing.wait()
        if self.failing:
            raise ProgramFailed("nft ended with 1: Operation not permitted")
        self.loaded.append(text)


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setattr(pod_firewall, "_FIRST_RETRY", 0.01)
    monkeypatch.setattr(pod_objects, "_SETTLES_WITHIN", 0.05)
    return Gateway()


async def test_the_rules_are_loaded_before_the_pod_is_shown(gateway: Gateway) -> None:
    await gateway.objects.snapshot([build.node(), build.firewall(CLOSED), build.pod()])
    assert (gateway.loaded, gateway.seen) == ([SHUT], [0])
    assert gateway.objects.store.all(PODS)


async def test_a_snapshot_without_a_firewall_means_not_isolated(gateway: Gateway) -> None:
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod()])
    await gateway.objects.snapshot([build.pod()])
    assert gateway.loaded == [SHUT, FLUSHED]


async def test_while_it_cannot_be_loaded_the_pod_is_not_shown(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    objects = gateway.objects
    gateway.failing = True
    await objects.snapshot([build.node(zone="a"), build.firewall(CLOSED), build.pod(1)])
    await until(lambda: gateway.tried > 2)
    assert objects.store.all(NODES), "all else is known"
    assert not objects.known.is_set(), "no Pod is not what the kubelet may conclude"
    assert "Operation not permitted" in caplog.text
    objects.apply(build.pod(2))
    assert objects.store.all(PODS) == ()

    gateway.failing = False
    async with asyncio.timeout(5):
        await objects.known.wait()
    assert [pod["metadata"]["resourceVersion"] for pod in objects.store.all(PODS)] == ["2"]


async def test_a_pod_that_is_taken_away_before_it_was_shown_never_is(gateway: Gateway) -> None:
    gateway.failing = True
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod()])
    gateway.objects.remove(build.pod())
    gateway.failing = False
    await until(lambda: gateway.objects.firewall.in_force)
    assert gateway.objects.store.all(PODS) == ()
    assert gateway.objects.known.is_set()


async def test_a_snapshot_in_the_place_of_one_that_waits_never_looks_like_no_pod(gateway: Gateway) -> None:
    gateway.failing = True
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod()])
    gateway.failing = False
    gateway.objects.own_node(build.NODE, "169.254.1.1")
    gateway.objects.store.watch(NODES, bool, None)  # a kubelet that does not confirm
    feeding = asyncio.create_task(gateway.objects.snapshot([build.firewall(), build.node(zone="a"), build.pod()]))
    await gateway.objects.known.wait()
    assert gateway.objects.store.all(PODS)
    await feeding


async def test_a_pod_that_was_shown_goes_on_when_a_change_fails(gateway: Gateway) -> None:
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod(1)])
    gateway.failing = True
    await gateway.objects.snapshot([build.firewall(), build.pod(2)])
    gateway.objects.apply(build.pod(3))
    assert [pod["metadata"]["resourceVersion"] for pod in gateway.objects.store.all(PODS)] == ["3"]
    assert gateway.loaded == [SHUT]
    gateway.failing = False
    await until(lambda: gateway.loaded == [SHUT, FLUSHED])


async def test_changes_are_loaded_in_order_and_the_newest_wins(gateway: Gateway) -> None:
    await gateway.objects.snapshot([build.firewall(), build.pod()])
    gateway.passing.clear()
    gateway.objects.apply(build.firewall(build.allowing("10.0.0.1")))
    await until(lambda: gateway.tried == 2)
    for number in range(2, 9):
        gateway.objects.apply(build.firewall(build.allowing(f"10.0.0.{number}")))
    gateway.passing.set()
    await until(lambda: gateway.objects.firewall.in_force)
    assert ["10.0.0.1" in gateway.loaded[1], "10.0.0.8" in gateway.loaded[2]] == [True, True]
    assert len(gateway.loaded) == 3


async def test_one_that_failed_is_not_waited_out_when_another_comes(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_firewall, "_FIRST_RETRY", 3600)
    gateway.failing = True
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod()])
    gateway.failing = False
    gateway.objects.apply(build.firewall())
    await until(lambda: gateway.loaded == [FLUSHED])


async def test_the_same_again_is_not_loaded_again(gateway: Gateway) -> None:
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod()])
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod(11)])
    gateway.objects.apply(build.firewall(CLOSED))
    assert gateway.loaded == [SHUT]


@pytest.mark.parametrize(("uid", "left"), [("uid-1", FLUSHED), ("uid-2", SHUT)])
async def test_one_that_is_removed_isolates_no_more(gateway: Gateway, uid: str, left: str) -> None:
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod()])
    gateway.objects.remove(build.firewall(uid=uid))
    await until(lambda: gateway.objects.firewall.in_force)
    assert gateway.loaded[-1] == left


@pytest.mark.parametrize(
    "firewalls",
    [
        [build.firewall(), build.firewall(uid="uid-2")],
        [{**build.firewall(), "spec": {}}],
        [build.firewall({**OPEN, "rules": [{"peers": [], "ports": []}]})],
    ],
)
async def test_one_that_makes_no_sense_changes_nothing(gateway: Gateway, firewalls: list[Any]) -> None:
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod()])
    with pytest.raises(ValueError, match=r"firewall|spec"):
        await gateway.objects.snapshot([*firewalls, build.node()])
    assert gateway.objects.store.all(PODS)
    assert (gateway.loaded, gateway.objects.store.all(NODES)) == ([SHUT], ())


async def test_it_is_kept_and_back_before_the_pod_is(gateway: Gateway) -> None:
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod()])
    other = Gateway()
    await other.objects.restore(gateway.objects.exported())
    assert (other.loaded, other.seen) == ([SHUT], [0])
    assert other.objects.exported() == gateway.objects.exported()


async def test_what_is_restored_waits_for_its_firewall_as_well(gateway: Gateway) -> None:
    await gateway.objects.snapshot([build.firewall(CLOSED), build.pod()])
    other = Gateway()
    other.failing = True
    await other.objects.restore(gateway.objects.exported())
    assert not other.objects.known.is_set()
    other.failing = False
    async with asyncio.timeout(5):
        await other.objects.known.wait()
    assert other.objects.store.all(PODS)


async def test_a_restarted_agent_has_the_firewall_that_was_fed(guest: Guest) -> None:
    guest.identify()
    async with guest.agent():
        provider = await guest.provider((await guest.report())["port"])
        await provider.hello()
        provider.feed(build.firewall(CLOSED), build.pod())
        provider.send(type="ping")
        await provider.receive()
        assert guest.gateway.loaded == [SHUT]
        provider.send(type="apply", object=build.firewall(egress=CLOSED))
        await until(lambda: guest.gateway.loaded[1:])
    guest.hypervisor.put("report", "null")
    async with guest.agent():
        await guest.report()
        assert await guest.pods() == ["web"]
        assert guest.gateway.loaded[2:] == [f"{FLUSHED}add rule inet vch policy_egress drop\n"]
