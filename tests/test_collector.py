"""A VM without a Pod is destroyed when that is certain, and no other VM ever is."""

from typing import Any, cast

import pytest

from provider import errors
from provider.brake import ABSENT_SECONDS, AT_ONCE, QUARANTINE
from provider.collector import PASS_SECONDS, Collector
from provider.pod_controller.inventory import Inventory
from provider.podvm import Appeared, Lost, PodVM, Synced, Vanished, VSphere
from tests.builders import UID, make_identity, make_pod, make_vm
from tests.fake_clock import FakeClock


class World:
    """Pods, their API server and vSphere, as far as the collector asks."""

    def __init__(self, *vms: PodVM) -> None:
        self.clock = FakeClock()
        self.inventory = Inventory("c", "v")
        for vm in vms:
            self.inventory.apply(Appeared(vm), 0.0)
        self.inventory.apply(Synced(), 0.0)
        self.listed = True
        self.known: set[str] = set()
        self.stored: list[dict] = []
        self.done: list[tuple[str, str]] = []
        self.fails: errors.ProviderError | None = None
        self.collector = Collector("vch", self.inventory, self, self, cast("VSphere", self), self.clock)

    async def look(self, times: int = 1) -> list[str]:
        """Morefs destroyed by so many passes. Between two of them as much time passes as makes a finding certain."""
        before = len(self.done)
        for _ in range(times):
            await self.collector.look()
            self.clock.advance(ABSENT_SECONDS)
        return [moref for what, moref in self.done[before:] if what == "destroy"]

    def knows(self, uid: str) -> bool:
        return uid in self.known

    def pod_seen(self, pod: dict) -> None:
        self.known.add(pod["metadata"]["uid"])

    async def get_pod(self, namespace: str, name: str) -> dict | None:
        if isinstance(self.fails, errors.KubeError):
            raise self.fails
        return next((pod for pod in self.stored if pod["metadata"]["name"] == name), None)

    async def power_off(self, moref: str) -> None:
        if isinstance(self.fails, errors.VSphereError):
            raise self.fails
        self.done.append(("off", moref))

    async def destroy(self, moref: str) -> None:
        self.done.append(("destroy", moref))


def make_vms(count: int, **fields: Any) -> list[PodVM]:
    return [make_vm(f"vm-{n}", uid=f"{n:08}{UID[8:]}", name=f"web-{n}", **fields) for n in range(count)]


async def test_a_vm_without_a_pod_is_switched_off_and_destroyed_in_the_second_pass() -> None:
    world = World(make_vm())
    assert await world.look() == []
    assert await world.look() == ["vm-1"]
    assert world.done == [("off", "vm-1"), ("destroy", "vm-1")]
    assert world.inventory.vms() == []
    assert await world.look(2) == []


async def test_a_vm_has_to_be_without_a_pod_for_the_whole_time() -> None:
    world = World(make_vm())
    began = world.clock.monotonic()
    while not world.done:
        await world.collector.look()
        world.clock.advance(PASS_SECONDS)
    assert ABSENT_SECONDS <= world.clock.monotonic() - PASS_SECONDS - began < 60
    world = World(make_vm())
    await world.collector.look()
    world.clock.advance(ABSENT_SECONDS - 1)
    world.known = {UID}
    await world.collector.look()
    world.known = set()
    world.clock.advance(1)
    assert await world.look() == [], "it had a Pod meanwhile"


async def test_the_vm_of_a_known_pod_stays() -> None:
    world = World(make_vm())
    world.known = {UID}
    assert await world.look(5) == []


async def test_a_vm_without_the_marks_of_this_vch_is_never_touched() -> None:
    world = World(make_vm(identity=make_identity(vch="another")), make_vm("vm-2", identity=make_identity(cluster="x")))
    assert await world.look(5) == []
    assert world.done == []


@pytest.mark.parametrize("incomplete", ["pods", "inventory"])
async def test_nothing_is_concluded_from_an_incomplete_picture(incomplete: str) -> None:
    world = World(make_vm())
    await world.look()
    if incomplete == "pods":
        world.listed = False
    else:
        world.inventory.apply(Lost(OSError()), 1.0)
    assert await world.look(3) == []
    world.listed = True
    world.inventory.apply(Synced(), 2.0)
    world.inventory.apply(Appeared(make_vm()), 2.0)
    assert await world.look() == [], "two passes, from the beginning"
    assert await world.look() == ["vm-1"]


async def test_a_pod_that_only_the_api_server_knows_keeps_its_vm_and_is_told_of() -> None:
    world = World(make_vm())
    world.stored = [make_pod()]
    assert await world.look(3) == []
    assert world.known == {UID}


async def test_another_pod_of_the_name_is_no_reason_to_keep_a_vm() -> None:
    world = World(make_vm())
    world.stored = [make_pod(uid="another")]
    assert await world.look(2) == ["vm-1"]
    assert world.known == set()


@pytest.mark.parametrize("error", [errors.KubeUnavailable("down"), errors.VCenterUnreachable("down")])
async def test_what_fails_is_done_in_a_later_pass(error: errors.ProviderError) -> None:
    world = World(make_vm())
    world.fails = error
    assert await world.look(3) == []
    assert len(world.inventory) == 1
    world.fails = None
    assert await world.look() == ["vm-1"]


async def test_many_at_once_are_put_off_until_that_has_held_for_the_quarantine() -> None:
    vms = make_vms(AT_ONCE + 1)
    world = World(*vms)
    assert await world.look(3) == []
    world.clock.advance(QUARANTINE)
    assert await world.look() == [vm.moref for vm in vms]


async def test_a_few_need_no_quarantine() -> None:
    vms = make_vms(AT_ONCE)
    assert await World(*vms).look(2) == [vm.moref for vm in vms]


async def test_of_two_vms_of_a_pod_the_one_that_was_never_fed_goes() -> None:
    world = World(make_vm("vm-1"), make_vm("vm-2", pin="sha256:ab"))
    world.known = {UID}
    assert await world.look(2) == ["vm-1"]
    assert [vm.moref for vm in world.inventory.vms()] == ["vm-2"]


async def test_of_two_vms_that_were_both_fed_none_goes() -> None:
    world = World(make_vm("vm-1", pin="sha256:ab"), make_vm("vm-2", pin="sha256:cd"))
    world.known = {UID}
    assert await world.look(3) == []


async def test_a_pod_that_becomes_known_while_others_are_ended_keeps_its_vm() -> None:
    first, second = make_vms(2)
    world = World(first, second)
    await world.look()
    power_off = world.power_off

    async def power_off_and_learn(moref: str) -> None:
        await power_off(moref)
        world.known.add(second.identity.uid)

    world.power_off = power_off_and_learn  # type: ignore[method-assign]
    assert await world.look(3) == [first.moref]


async def test_a_second_vm_that_becomes_the_pods_only_one_meanwhile_stays() -> None:
    orphan = make_vm("vm-9", uid="f" + UID[1:], name="db")
    world = World(orphan, make_vm("vm-1"), make_vm("vm-2"))
    world.known = {UID}
    await world.look()
    destroy = world.destroy

    async def destroy_and_see_the_first_go(moref: str) -> None:
        await destroy(moref)
        world.inventory.apply(Vanished(UID, "vm-1"), 1.0)

    world.destroy = destroy_and_see_the_first_go  # type: ignore[method-assign]
    assert await world.look(3) == ["vm-9"]
