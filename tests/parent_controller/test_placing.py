"""A Pod is placed on what is ready, and what has just refused is left alone."""

import contextlib
from typing import Any, cast

import pytest

from provider import errors
from provider.parent_controller import ParentInventory, Placing
from provider.parent_slots import Demand
from provider.parentvm import HostChanged, ParentAppeared, ParentVM
from provider.placement import AVOID_SECONDS
from provider.pod_controller.inventory import Inventory
from provider.podvm import Appeared, CloneOrigin
from tests.builders import make_host, make_key, make_offer, make_parent_vm, make_slot, make_vm, make_vm_class
from tests.fake_clock import FakeClock

ONE = make_parent_vm("vm-1", key=make_key("host-1"))
TWO = make_parent_vm("vm-2", key=make_key("host-2"))
SMALL = Demand("photon", "small")


class Controller:
    """What is asked of `ParentController`: two parents are ready."""

    def __init__(self) -> None:
        self.asked: list[Demand] = []
        self.distrusted: list[ParentVM] = []
        self.slots = {vm.marks.key: make_slot(vm.marks.key) for vm in (ONE, TWO)}

    def ask(self, demand: Demand) -> None:
        self.asked.append(demand)

    def ready(self, demand: Demand) -> list[ParentVM]:
        return [ONE, TWO] if demand == SMALL else []

    def waits_for(self, demand: Demand) -> str:
        return f"no parent of class {demand.vm_class} is ready"

    def distrust(self, parent: ParentVM) -> None:
        self.distrusted.append(parent)

    def lend(self, parent: ParentVM) -> Any:
        return contextlib.nullcontext()


class World:
    def __init__(self) -> None:
        self.controller, self.clock = Controller(), FakeClock()
        self.parents, self.pod_vms = ParentInventory("c", "v"), Inventory("c", "v")
        for name in ("host-1", "host-2"):
            self.parents.apply(HostChanged(make_host(name)), 0.0)
        classes = {"small": make_vm_class("small")}
        self.placing = Placing(
            cast("Any", self.controller), self.parents, self.pod_vms, lambda: make_offer(), lambda: classes, self.clock
        )


@pytest.fixture
def world() -> World:
    return World()


def test_the_demand_is_told_so_that_a_parent_is_made_if_there_is_none(world: World) -> None:
    with pytest.raises(errors.NoParentReady, match="no parent of class large is ready"):
        world.placing.place(Demand("photon", "large"))
    assert world.controller.asked == [Demand("photon", "large")]


def test_clones_under_way_count_as_load(world: World) -> None:
    first = world.placing.place(SMALL)
    with world.placing.lend(first):
        assert world.placing.place(SMALL) != first
    assert world.placing.place(SMALL) == first


def test_pod_vms_count_as_load_on_their_host(world: World) -> None:
    first = world.placing.place(SMALL)
    vm = make_vm("vm-9", host=first.host, origin=CloneOrigin("id", "photon", "small"))
    world.pod_vms.apply(Appeared(vm), 0.0)
    assert world.placing.place(SMALL) != first


def test_a_host_that_refuses_for_lack_of_resources_is_avoided_for_a_while(world: World) -> None:
    first = world.placing.place(SMALL)
    world.placing.refused(first, errors.InsufficientResources("no memory"))
    assert world.placing.place(SMALL) != first
    world.clock.advance(AVOID_SECONDS + 1)
    assert world.placing.place(SMALL) == first


def test_other_refusals_are_not_the_hosts_fault(world: World) -> None:
    first = world.placing.place(SMALL)
    world.placing.refused(first, errors.VMBusy("another task"))
    assert world.placing.place(SMALL) == first
    assert not world.controller.distrusted


def test_an_exhausted_parent_is_made_anew(world: World) -> None:
    world.placing.refused(ONE, errors.ParentExhausted("the disk chain is too long"))
    assert world.controller.distrusted == [ONE]


def test_a_clone_is_current_as_long_as_its_parent_is(world: World) -> None:
    origin = CloneOrigin(ONE.marks.parent_id, "photon", "small")
    assert not world.placing.is_current(origin)
    world.parents.apply(ParentAppeared(ONE), 0.0)
    assert world.placing.is_current(origin)
    world.controller.slots[ONE.marks.key] = make_slot(ONE.marks.key, digest="another")
    assert not world.placing.is_current(origin)


def test_a_standby_clone_is_not_made_of_an_outdated_parent(world: World) -> None:
    for vm in (ONE, TWO):
        world.controller.slots[vm.marks.key] = make_slot(vm.marks.key, digest="another")
    assert world.placing.place(SMALL) in (ONE, TWO), "a Pod does not wait for a better one"
    with pytest.raises(errors.NoParentReady):
        world.placing.place(SMALL, current_only=True)
    world.controller.slots[TWO.marks.key] = make_slot(TWO.marks.key)
    assert world.placing.place(SMALL, current_only=True) == TWO
