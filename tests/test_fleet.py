"""One virtual node for each VirtualContainerHost that is this process' business; a defect in one is its own."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from provider import fleet
from provider.api.vch import VirtualContainerHostSpec
from provider.fleet import Fleet
from tests.builders import make_vch_spec


class FakeNode:
    """Runs until cancelled, or fails as often as it is told to."""

    failures = 0

    def __init__(self, vch: dict) -> None:
        VirtualContainerHostSpec.model_validate(vch["spec"])
        self.name = vch["metadata"]["name"]
        self.begun = 0
        self.running = False
        self.drained = False

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
        assert self.running, "a node drains while it runs"
        self.drained = True


class Made:
    """The nodes that a fleet has made."""

    def __init__(self) -> None:
        self.nodes: list[FakeNode] = []

    def __call__(self, vch: dict) -> FakeNode:
        self.nodes.append(FakeNode(vch))
        return self.nodes[-1]

    def running(self) -> list[str]:
        return [node.name for node in self.nodes if node.running]


def make_vch(name: str = "vch", uid: str = "uid-1", **spec: Any) -> dict:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": "1"}, "spec": make_vch_spec(**spec)}


@pytest.mark.parametrize(("names", "concerned"), [(set(), True), ({"vch"}, True), ({"other"}, False)])
def test_no_names_are_all_names(names: set[str], concerned: bool) -> None:
    assert Fleet(Made(), frozenset(names)).concerns("vch") is concerned


async def test_each_vch_is_run_until_it_is_forgotten() -> None:
    made = Made()
    nodes = Fleet(made)
    await nodes.see(make_vch("a"))
    await nodes.see(make_vch("b"))
    await asyncio.sleep(0)
    assert made.running() == ["a", "b"]
    await nodes.forget("a")
    await nodes.forget("never seen")
    assert made.running() == ["b"]
    await nodes.close()
    assert made.running() == []


async def test_what_is_no_change_of_the_spec_does_not_disturb() -> None:
    made = Made()
    nodes = Fleet(made)
    await nodes.see(make_vch())
    changed = make_vch()
    changed["metadata"] |= {"resourceVersion": "2", "labels": {"a": "b"}}
    await nodes.see({**changed, "status": {"conditions": []}})
    assert len(made.nodes) == 1
    await nodes.close()


@pytest.mark.parametrize("changed", [make_vch(limits={"cpu": "1"}), make_vch(uid="uid-2")])
async def test_a_changed_vch_is_begun_anew_when_the_old_one_has_ended(changed: dict) -> None:
    made = Made()
    nodes = Fleet(made)
    await nodes.see(make_vch())
    await asyncio.sleep(0)
    await nodes.see(changed)
    await asyncio.sleep(0)
    assert [node.running for node in made.nodes] == [False, True]
    await nodes.close()


async def test_a_vch_that_goes_is_drained_before_it_is_forgotten() -> None:
    made = Made()
    nodes = Fleet(made)
    await nodes.see(make_vch())
    await asyncio.sleep(0)
    await nodes.drain("vch")
    await nodes.drain("never seen")
    assert (made.nodes[0].drained, made.nodes[0].running) == (True, False)


async def test_a_defect_in_one_node_neither_ends_it_for_good_nor_touches_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "_AFTER_DEFECT", 0)
    made = Made()
    nodes = Fleet(made)
    await nodes.see(make_vch("sound"))
    await asyncio.sleep(0)
    monkeypatch.setattr(FakeNode, "failures", 2)
    await nodes.see(make_vch("broken"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert made.running() == ["sound", "broken"]
    assert [node.begun for node in made.nodes] == [1, 3]
    await nodes.close()


async def test_a_vch_of_another_schema_is_left_alone() -> None:
    made = Made()
    nodes = Fleet(made)
    with pytest.raises(ValidationError):
        FakeNode({"metadata": {"name": "x"}, "spec": {}})
    await nodes.see({"metadata": {"name": "vch", "uid": "uid-1"}, "spec": {}})
    assert made.nodes == []
    await nodes.see(make_vch())
    assert len(made.nodes) == 1, "it is run as soon as it can be read"
    await nodes.close()
