"""Whatever happens in whatever order: at most one VM of a Pod, none without a Pod in the end, and no Pod forgotten.

The fakes watch the promises (`World.broken_promises`); what happens is drawn from a seed, so a failure can be repeated.
"""

import random

import pytest

from provider import errors
from provider.podvm import PowerState
from tests.builders import make_parent_vm
from tests.pod_controller.world import World

NAMES = ("a", "b", "c")
HAPPENINGS = 120


class Fate:
    """Lets one thing after another happen to a world."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._random = random.Random(seed)
        random.seed(seed)  # distances between attempts are spread

    async def strike(self) -> None:
        happenings = [
            self.create, self.create, self.create, self.delete, self.delete, self.fail_vsphere, self.lose_reply,
            self.fail_kube, self.break_watch, self.restart, self.power_off, self.vanish, self.network, self.agents,
            self.parent, self.miss_events,
        ]  # fmt: skip
        happening = self._random.choice(happenings)
        await self._world.passes(self._random.choice([0.0, 0.01, 0.1, 0.3, 0.5, 1, 3, 20]))
        happening()
        if happening == self.restart:
            await self._world.restart()

    def heal(self) -> None:
        world = self._world
        world.pods.errors.clear()
        world.vsphere.behaviour.next_errors.clear()
        world.vsphere.behaviour.lost_replies.clear()
        world.vsphere.behaviour.agents_report = True
        world.guests.reachable = True
        world.set_parent(make_parent_vm())
        if world.vsphere.listener is None:
            world.vsphere.connect(world.controller.inventory_changed)
        world.pods.watch = world.controller
        world.controller.pods_relisted()

    def create(self) -> None:
        free = [name for name in NAMES if name not in self._world.pods.stored]
        if free:
            self._world.pods.create(self._random.choice(free))

    def delete(self) -> None:
        if self._world.pods.stored:
            name = self._random.choice(sorted(self._world.pods.stored))
            self._world.pods.delete(name, grace=self._random.choice([0, 1, 30]))

    def fail_vsphere(self) -> None:
        self._world.vsphere.fail(self._call(), self._random.choice(self._errors()))

    def lose_reply(self) -> None:
        self._world.vsphere.lose_reply(self._call(), errors.VCenterUnreachable("broke"))

    def fail_kube(self) -> None:
        call = self._random.choice(["status", "guest status", "delete", "get_pod", "list_pods"])
        self._world.pods.fail(call, errors.KubeUnavailable("down", code=503))

    def break_watch(self) -> None:
        vsphere = self._world.vsphere
        if vsphere.listener is None:
            vsphere.connect(self._world.controller.inventory_changed)
        else:
            vsphere.disconnect()

    def restart(self) -> None:
        """See `strike`."""

    def power_off(self) -> None:
        if running := self._world.vsphere.running():
            self._world.vsphere.change(self._random.choice(running).moref, power_state=PowerState.OFF)

    def vanish(self) -> None:
        if self._world.vsphere.vms:
            self._world.vsphere.vanish(self._random.choice(sorted(self._world.vsphere.vms)))

    def network(self) -> None:
        self._world.guests.reachable = not self._world.guests.reachable

    def agents(self) -> None:
        self._world.vsphere.behaviour.agents_report = not self._world.vsphere.behaviour.agents_report

    def parent(self) -> None:
        parents = [None, make_parent_vm(frozen=False), make_parent_vm(), make_parent_vm()]
        self._world.set_parent(self._random.choice(parents))

    def miss_events(self) -> None:
        self._world.pods.watch = None if self._world.pods.watch else self._world.controller

    def _call(self) -> str:
        return self._random.choice(["clone", "clone", "pin", "power_off", "destroy"])

    def _errors(self) -> list[errors.VSphereError]:
        return [errors.VCenterUnreachable("gone"), errors.VMBusy("busy"), errors.TaskFailed("who knows")]


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_happens_the_promises_hold(world: World, seed: int) -> None:
    fate = Fate(world, seed)
    for _ in range(HAPPENINGS):
        await fate.strike()
    fate.heal()
    settled = ("Running", "Succeeded", "Failed")
    await world.until(lambda: all(world.pods.phase(name) in settled for name in world.pods.stored), within=1200)
    for name in list(world.pods.stored):
        world.pods.delete(name)
    await world.until(
        lambda: not (world.pods.stored or world.vsphere.vms or list(world.controller.workers())), within=1200
    )
