"""A Pod that does not fit is refused as a kubelet refuses it; what runs is never asked again whether it fits."""

import pytest

from provider.capacity import Resources
from tests.builders import GIB, make_container
from tests.pod_controller.world import World

MIB = 2**20


def asking(**requests: str) -> dict:
    return {"containers": [make_container(resources={"requests": requests})]}


@pytest.mark.parametrize(
    ("offered", "requests", "reason"),
    [
        (Resources(1000, GIB, 5), {"cpu": "1500m"}, "OutOfcpu"),
        (Resources(4000, 256 * MIB, 5), {"memory": "512Mi"}, "OutOfmemory"),
        (Resources(4000, GIB, 0), {}, "OutOfpods"),
    ],
)
async def test_a_pod_that_does_not_fit_fails_without_a_vm_and_for_good(
    world: World, offered: Resources, requests: dict[str, str], reason: str
) -> None:
    world.offered = offered
    world.pods.create(**asking(**requests))
    await world.until(lambda: world.pods.phase() == "Failed", within=5)
    assert world.pods.status()["reason"] == reason
    world.offered = Resources(64000, 64 * GIB, 100)
    world.controller.hurry()
    await world.passes(600)
    await world.restart()
    await world.passes(600)
    assert world.pods.phase() == "Failed"
    assert world.touched() == []


async def test_a_pod_that_ends_counts_until_its_vm_is_gone(world: World) -> None:
    world.offered = Resources(4000, 4 * GIB, 1)
    await world.run_pod("ends")
    world.guests.end_pods = False
    world.pods.delete("ends")
    world.pods.create("too-early")
    await world.until(lambda: world.pods.status("too-early").get("reason") == "OutOfpods")
    world.guests.end_pods = True
    world.pods.delete("ends", grace=1)
    await world.until(lambda: not world.vsphere.vms)
    await world.run_pod("in-time")


async def test_a_refused_pod_takes_no_room_from_the_next_one(world: World) -> None:
    world.offered = Resources(1000, 4 * GIB, 1)
    world.pods.create("too-large", **asking(cpu="1500m"))
    await world.until(lambda: world.pods.phase("too-large") == "Failed")
    await world.run_pod("fits", **asking(cpu="1"))
    await world.restart()
    await world.passes(60)
    assert world.pods.phase("fits") == "Running"


async def test_what_runs_is_not_refused_when_less_is_offered_and_after_a_restart(world: World) -> None:
    for name in ("a", "b"):
        await world.run_pod(name, **asking(cpu="1"))
    world.forget_done()
    world.offered = Resources(0, 0, 0)
    await world.restart()
    await world.passes(300)
    assert {world.pods.phase(name) for name in ("a", "b")} == {"Running"}
    assert world.done == []
