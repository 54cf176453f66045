"""Replicas share the virtual nodes, take over what a dead one held, and give back what they hold when they end."""

import asyncio
from collections.abc import Callable

import pytest

from provider import errors, metrics
from tests.leases.replicas import TERMS, FakeLeases, Running, named

VCHS = ("north", "south")


def now() -> float:
    return asyncio.get_running_loop().time()


async def until(*replicas: Running, held: int = 2, within: float = 60) -> float:
    """Seconds until so many VCHs are held; never is one held twice."""
    began = now()
    while True:
        everything = [name for replica in replicas for name in replica.held()]
        assert len(everything) == len(set(everything)), "two replicas hold the same virtual node"
        if len(everything) == held:
            return now() - began
        assert now() - began < within, "it never happened"
        await asyncio.sleep(0.1)


async def becomes(condition: Callable[[], bool], within: float = 60) -> None:
    async with asyncio.timeout(within):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)


async def test_one_replica_holds_everything_at_once() -> None:
    one = Running(FakeLeases(), "one").start(*VCHS)
    assert await until(one, within=20) < TERMS.duration + 3
    await one.stop()


async def test_two_that_start_together_share() -> None:
    kube = FakeLeases()
    one, two = Running(kube, "one", skew=-3600.0).start(*VCHS), Running(kube, "two", skew=3600.0).start(*VCHS)
    assert await until(one, two) < 5
    assert (len(one.held()), len(two.held())) == (1, 1)
    await asyncio.sleep(300)
    await until(one, two, within=1)
    assert (len(one.fleet.fences), len(two.fleet.fences)) == (1, 1), "nothing moves without need"
    await asyncio.gather(one.stop(), two.stop())


async def test_what_a_crashed_replica_held_is_taken_over_within_30_seconds() -> None:
    kube = FakeLeases()
    one, two = Running(kube, "one").start(*VCHS), Running(kube, "two", skew=1e6).start(*VCHS)
    await until(one, two)
    await asyncio.sleep(7)
    await one.crash()
    crashed = now()
    while len(two.held()) < 2:
        assert not one.held() & two.held()
        await asyncio.sleep(0.1)
    assert TERMS.duration - TERMS.margin < now() - crashed < 20
    await two.stop()


async def test_a_graceful_end_leaves_no_gap_and_no_member() -> None:
    kube = FakeLeases()
    one, two = Running(kube, "one").start(*VCHS), Running(kube, "two").start(*VCHS)
    await until(one, two)
    await one.stop()
    assert one.fleet.running == {}
    assert await until(two) < TERMS.retry + 2
    assert "vch-operator-one" not in kube.stored
    assert kube.stored["vch-north"]["metadata"]["ownerReferences"][0]["uid"] == "uid-of-north"
    await two.stop()


@pytest.mark.parametrize("lease", ["vch-operator-one", "vch-north", "vch-south"])
async def test_a_graceful_end_after_a_lost_answer_leaves_no_gap_and_no_member(lease: str) -> None:
    kube = FakeLeases()
    one, two = Running(kube, "one").start(*VCHS), Running(kube, "two").start()
    await until(one)
    for name in VCHS:
        two.controller.follow(name, {"kind": "VirtualContainerHost", "name": name, "uid": f"uid-of-{name}"})
    kube.writes.clear()
    kube.lost.add(lease)
    await becomes(lambda: (lease, "one") in kube.writes)
    kube.lost.clear()
    await one.stop()
    assert "vch-operator-one" not in kube.stored
    assert await until(two) < TERMS.retry + 2
    await two.stop()


async def test_a_replica_that_ends_does_not_keep_its_share_until_all_its_nodes_have_ended() -> None:
    kube = FakeLeases()
    one, two = Running(kube, "one").start(*VCHS), Running(kube, "two").start(*VCHS)
    await until(one, two)
    ending = asyncio.create_task(one.stop())
    await becomes(lambda: not one.fleet.running)
    assert "vch-operator-one" not in kube.stored
    await ending
    await two.stop()


async def test_a_holder_without_an_api_server_stops_before_others_may_begin() -> None:
    kube = FakeLeases()
    one = Running(kube, "one").start("north")
    await until(one, held=1)
    (fence,) = one.fleet.fences
    kube.down = True
    await asyncio.sleep(TERMS.duration)
    assert one.fleet.running == {}, "the virtual node is stopped"
    with pytest.raises(errors.LeaseLost):
        fence.check()
    kube.down = False
    assert await until(one, held=1) < TERMS.duration + 5
    with pytest.raises(errors.LeaseLost):
        fence.check()
    await one.stop()


async def test_a_short_failure_of_the_api_server_ends_nothing() -> None:
    kube = FakeLeases()
    one = Running(kube, "one").start("north")
    await until(one, held=1)
    for _ in range(5):
        kube.down = True
        await asyncio.sleep(6)
        kube.down = False
        await asyncio.sleep(8)
        assert one.held() == {"north"}
    assert len(one.fleet.fences) == 1
    await one.stop()


async def test_a_holder_that_is_overtaken_steps_down_without_a_write() -> None:
    kube = FakeLeases()
    one = Running(kube, "one").start("north")
    await until(one, held=1)
    kube.stored["vch-north"] = named(kube.stored["vch-north"], "other", "x")
    kube.writes.clear()
    await asyncio.sleep(TERMS.renew + 2)
    assert one.fleet.running == {}
    assert ("vch-north", "one") not in kube.writes
    await one.stop()


async def test_a_vch_that_is_gone_is_given_back() -> None:
    kube = FakeLeases()
    one = Running(kube, "one").start(*VCHS)
    await until(one)
    await one.controller.forget("north")
    await one.controller.forget("never seen")
    assert one.held() == {"south"}
    assert kube.stored["vch-north"]["spec"]["holderIdentity"] == ""
    await one.stop()


async def test_the_members_of_dead_replicas_are_removed() -> None:
    kube = FakeLeases()
    one, two = Running(kube, "one").start(), Running(kube, "two").start()
    await asyncio.sleep(1)
    await one.crash()
    await asyncio.sleep(TERMS.duration * 2)
    assert "vch-operator-one" in kube.stored
    await asyncio.sleep(TERMS.duration * 5)
    assert "vch-operator-one" not in kube.stored
    assert "vch-operator-two" in kube.stored
    assert kube.stored["vch-operator-two"]["metadata"]["labels"]["vch.dev/operator"] == "true"
    await two.stop()


async def test_transitions_are_counted() -> None:
    def count(to: str) -> float:
        return float(metrics.leases.TRANSITIONS.labels("counted", to)._value.get())

    one = Running(FakeLeases(), "one").start("counted")
    await until(one, held=1)
    assert (count("acquired"), metrics.leases.HELD.labels("counted")._value.get()) == (1, 1)
    await one.stop()
    assert (count("released"), metrics.leases.HELD.labels("counted")._value.get()) == (1, 0)
