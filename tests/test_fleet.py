"""One virtual node for each VirtualContainerHost that is this process' business; a defect in one is its own."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from provider import fleet
from provider.api.vch import VirtualContainerHostSpec
from provider.fence import Fence
from provider.fleet import Fleet
from provider.tenure import Terms
from tests.builders import make_vch_spec


class FakeNode:
    """Runs until cancelled, or fails as often as it is told to."""

    failures = 0

    def __init__(self, vch: dict, fence: Fence) -> None:
        VirtualContainerHostSpec.model_validate(vch["spec"])
        self.name = vch["metadata"]["name"]
        self.fence = fence
        self.begun = 0
        self.running = False
        self.end: list[str] = []

    async def run(self) -> None:
        self.begun += 1
        if self.begun <= self.failures:
            raise RuntimeError("a defect")
        self.running = True
        try:
            await asyncio.Event().wait()
        finally:
            self.running = False

    async def drain(self) -> None:
        await turns(3)
        self.end.append("drained" if self.running else "drained while it did not run")

    async def remove(self) -> None:
        self.end.append("removed while it ran" if self.running else "removed")


class Made:
    """The nodes that a fleet has made."""

    def __init__(self) -> None:
        self.nodes: list[FakeNode] = []

    def __call__(self, vch: dict, fence: Fence) -> FakeNode:
        self.nodes.append(FakeNode(vch, fence))
        return self.nodes[-1]

    def running(self) -> list[str]:
        return [node.name for node in self.nodes if node.running]


class FakeLeases:
    """Gives every Lease at once if `generous`, else when it is told to."""

    def __init__(self, fleet: Fleet, generous: bool) -> None:
        self.fleet = fleet
        self.generous = generous
        self.followed: dict[str, str] = {}

    def follow(self, name: str, owner: dict) -> None:
        new = name not in self.followed
        self.followed[name] = owner["uid"]
        if new and self.generous:
            self.fleet._seat(name).fence = make_fence()

    async def forget(self, name: str) -> None:
        del self.followed[name]
        await self.fleet.end(name)


def make_fence() -> Fence:
    return Fence("vch", Terms(), lambda: 0.0)


def make_fleet(made: Made, names: frozenset[str] = frozenset(), *, generous: bool = True) -> Fleet:
    nodes = Fleet(made, names)
    nodes.stand_for(FakeLeases(nodes, generous))
    return nodes


def make_vch(name: str = "vch", uid: str = "uid-1", *, deleted: bool = False, **spec: Any) -> dict:
    meta = {"name": name, "uid": uid, "resourceVersion": "1"}
    return {
        "apiVersion": "vch.dev/v1alpha1",
        "kind": "VirtualContainerHost",
        "metadata": meta | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleted else {}),
        "spec": make_vch_spec(**spec),
    }


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("names", "concerned"), [(set(), True), ({"vch"}, True), ({"other"}, False)])
def test_no_names_are_all_names(names: set[str], concerned: bool) -> None:
    assert Fleet(Made(), frozenset(names)).concerns("vch") is concerned


async def test_each_vch_is_run_until_it_is_forgotten() -> None:
    made = Made()
    nodes = make_fleet(made)
    await nodes.see(make_vch("a"))
    await nodes.see(make_vch("b"))
    await turns()
    assert made.running() == ["a", "b"]
    await nodes.forget(make_vch("a"))
    await nodes.forget(make_vch("never seen"))
    assert made.running() == ["b"]
    await nodes.close()
    assert made.running() == []


async def test_what_is_no_change_of_the_spec_does_not_disturb() -> None:
    made = Made()
    nodes = make_fleet(made)
    await nodes.see(make_vch())
    changed = make_vch()
    changed["metadata"] |= {"resourceVersion": "2", "labels": {"a": "b"}}
    await nodes.see({**changed, "status": {"conditions": []}})
    assert len(made.nodes) == 1
    await nodes.close()


@pytest.mark.parametrize("changed", [make_vch(limits={"cpu": "1"}), make_vch(uid="uid-2")])
async def test_a_changed_vch_is_begun_anew_when_the_old_one_has_ended(changed: dict) -> None:
    made = Made()
    nodes = make_fleet(made)
    await nodes.see(make_vch())
    await turns()
    await nodes.see(changed)
    await turns()
    assert [node.running for node in made.nodes] == [False, True]
    await nodes.close()


async def test_a_vch_that_goes_is_drained_and_then_removed() -> None:
    made = Made()
    nodes = make_fleet(made)
    await nodes.see(make_vch())
    await turns()
    await nodes.see(make_vch(deleted=True))
    await turns()
    assert len(made.nodes) == 1, "it is drained by the node that runs"
    assert (made.nodes[0].end, made.nodes[0].running) == (["drained", "removed"], False)
    await nodes.see(make_vch(deleted=True))
    await turns()
    assert len(made.nodes) == 1, "nothing is begun for it any more"
    await nodes.forget(make_vch())
    await nodes.close()


async def test_only_the_holder_of_the_lease_drains() -> None:
    made = Made()
    nodes = make_fleet(made, generous=False)
    await nodes.see(make_vch())
    await nodes.see(make_vch(deleted=True))
    await turns()
    assert made.nodes == [], "the holder is another replica"
    await nodes.begin("vch", make_fence())
    await turns()
    assert made.nodes[0].end == ["drained", "removed"], "which has died over it"
    await nodes.close()


async def test_a_node_runs_while_its_lease_is_held() -> None:
    made = Made()
    nodes = make_fleet(made, generous=False)
    await nodes.begin("vch", first := make_fence())
    await nodes.see(make_vch())
    await turns()
    assert made.running() == ["vch"]
    await nodes.end("vch")
    assert made.running() == []
    await nodes.see(make_vch(capacity={"cpu": "1"}))
    await turns()
    assert made.running() == []
    await nodes.begin("vch", second := make_fence())
    await turns()
    assert [node.fence for node in made.nodes] == [first, second], "each tenure has its own fence"
    assert made.running() == ["vch"]
    await nodes.close()


async def test_the_end_of_a_vch_does_not_touch_its_successor() -> None:
    made = Made()
    nodes = make_fleet(made)
    await nodes.see(make_vch(uid="uid-1"))
    await nodes.see(make_vch(uid="uid-2"))
    await nodes.forget(make_vch(uid="uid-1"))
    await turns()
    assert made.running() == ["vch"]
    await nodes.close()


async def test_a_defect_in_one_node_neither_ends_it_for_good_nor_touches_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "_AFTER_DEFECT", 0)
    made = Made()
    nodes = make_fleet(made)
    await nodes.see(make_vch("sound"))
    await turns()
    monkeypatch.setattr(FakeNode, "failures", 2)
    await nodes.see(make_vch("broken"))
    for _ in range(10):
        await turns()
    assert made.running() == ["sound", "broken"]
    assert [node.begun for node in made.nodes] == [1, 3]
    await nodes.close()


async def test_a_vch_of_another_schema_is_left_alone() -> None:
    made = Made()
    nodes = make_fleet(made)
    with pytest.raises(ValidationError):
        FakeNode({"metadata": {"name": "x"}, "spec": {}}, make_fence())
    await nodes.see({**make_vch(), "spec": {}})
    assert made.nodes == []
    await nodes.see(make_vch())
    assert len(made.nodes) == 1, "it is run as soon as it can be read"
    await nodes.close()
