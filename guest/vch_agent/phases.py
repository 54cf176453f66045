"""The life of the machine: parent → freeze → thaw → serve.

A machine without `guestinfo.vch.identity` is a parent (`parenthood`): it warms up and freezes, and the first thing it
sees afterwards is that it is a clone. A clone that boots (reset, power cycle) or whose agent restarts finds its
identity at the start and goes the same way without the freeze. What was a clone once never is a parent again.
"""

import asyncio
import logging
import random
from typing import Any

from . import guestinfo, nic, parent, plan, preparation, stillness, thaw
from .feed import Refusal
from .gateway import OneCard
from .guestinfo import GuestInfo
from .identity import Identity, Phase
from .keys import ForeignDisk
from .nic import Cards, NoInterface
from .parenthood import Parenthood, ask
from .pod_vm import PodVM
from .preparation import PreparationFailed
from .process import ProgramFailed
from .reachability import Reachability
from .sd_notify import notify
from .settings import Settings
from .setup import GUEST, Setup
from .system import System
from .thaw import Machine

log = logging.getLogger(__name__)

_CHECK_EVERY = 30.0


async def run(settings: Settings, machine: Machine | None = None, system: System | None = None) -> None:
    """Live until cancelled. Raises OSError and ProgramFailed, after which the service manager starts us again."""
    hypervisor = GuestInfo(settings.rpctool)
    machine, system = machine or Machine(), system or System(settings, hypervisor)
    vm = PodVM(settings, hypervisor, machine.gateway(settings), machine.adopt_names)
    stillness.release(settings.root)
    try:
        value = await ask(vm, guestinfo.IDENTITY)
        thawed = value is None
        try:
            if value is None:
                await _may_be_a_parent(vm)
                value = await Parenthood(vm, machine, system).run()
            await _clone(vm, machine, system, value, thawed=thawed)
        except Refusal as refusal:
            if not vm.refused.is_set():
                await vm.refuse(str(refusal), clone_id=str((value or {}).get("cloneId", "")))
        notify("STATUS=refused")
        await vm.refused.wait()
        await asyncio.Event().wait()  # ending would only make the service manager start us again
    finally:
        await vm.close()


async def _may_be_a_parent(vm: PodVM) -> None:
    """Raises Refusal (having refused): the files of a pod must not be in anybody's clones."""
    before = vm.latch.clone()
    if before is not None:
        message = f"this machine was clone {before}; it can never be a parent"
        told = await ask(vm, guestinfo.PARENT)
        await vm.refuse(message, clone_id=before, parent_id=parent.parent_id(told))
        raise Refusal("CloneOfClone", message)


async def _clone(vm: PodVM, machine: Machine, system: System, value: dict[str, Any], *, thawed: bool) -> None:
    """Become the clone and serve until it turns out that we may not. Raises Refusal."""
    try:
        who = Identity.parse(value)
    except ValueError as error:
        raise Refusal("BadIdentity", str(error)) from error
    restarted = vm.become(who)
    thaw.first(machine, vm.settings, who, restarted=restarted)
    try:
        if thawed:
            _same_node(vm, who)
        else:
            await _start(vm, system, who)
        key = await thaw.settle_in(
            machine, vm.settings, vm.hypervisor, who, vm.gateway, thawed=thawed, waiting=vm.certificate
        )
    except ForeignDisk as error:
        raise Refusal("CloneOfClone", str(error)) from error
    except OneCard as error:
        raise Refusal("OneNetworkCard", str(error)) from error
    except NoInterface as error:
        raise ProgramFailed(str(error)) from error
    vm.serve_provider(key)
    await vm.report(Phase.READY, key.fingerprint)
    stillness.release(vm.settings.root)
    notify("STATUS=serving")
    log.info("serving clone %s of pod %s/%s", who.clone_id, who.namespace, who.name)
    vm.latch.bind(who)
    cards = Cards(vm.settings.nic, vm.settings.pod_nic)
    beside = [
        asyncio.create_task(vm.gateway.keep()),
        asyncio.create_task(_look_around(vm)),
        asyncio.ensure_future(machine.keep_announced(who.address.ip, cards)),
        *([asyncio.ensure_future(nic.persistently("the Pod's lease", vm.lease.keep))] if who.pod_network.dhcp else []),
    ]
    try:
        await _watch_over(vm)
    finally:
        for task in beside:
            task.cancel()


async def _look_around(vm: PodVM) -> None:
    """Whether the cluster is reached from the Pod's network, until cancelled."""
    await vm.objects.known.wait()  # a standby clone has its pod by then
    assert vm.identity is not None
    assert vm.gateway.network is not None  # with a lease, if it is one, before the Pod is told
    who, looked = vm.identity, Reachability(vm.proxy.routes, vm.relay)
    await looked.keep(vm.dns, vm.gateway.network, vm.gateway.sender, (who.namespace, who.name))


async def _start(vm: PodVM, system: System, who: Identity) -> None:
    """A clone that boots: the kubelet has yet to start, or (the agent alone restarted) asks again."""
    prepared = await _prepared_again(vm, system)
    system.loopback()
    await vm.gateway.build(prepared.sysctls)
    if await vm.restore():
        log.info("objects of the time before the restart are served")
    await vm.serve_kubelet(who.node, str(who.address.ip), prepared.dns)
    if prepared.service_routing == GUEST:
        await vm.serve_proxy()
    notify("READY=1\nSTATUS=clone: starting")


async def _prepared_again(vm: PodVM, system: System) -> Setup:
    """What its parent had in memory only: modules, sysctls. A pod without them is better than none.

    Returns all that it is prepared for.
    """
    record = preparation.load(vm.settings.lib)
    vm.parent_id = record.parent_id
    for step in plan.after_boot(record.effective, vm.settings.platform):
        try:
            await preparation.prepare(system, vm.settings.lib, record, [step])
        except PreparationFailed as error:
            log.error("%s", error)
    return record.effective


def _same_node(vm: PodVM, who: Identity) -> None:
    """The kubelet was started under the parent's node name and cannot change it."""
    if vm.node != who.node:
        raise Refusal("WrongNode", f"identity.node is {who.node}, the parent's kubelet runs as {vm.node}")
    vm.objects.own_node(who.node, str(who.address.ip))


async def _watch_over(vm: PodVM) -> None:
    """Notice a clone of this clone even if no provider ever speaks to it."""
    while not vm.refused.is_set():
        # Spread out: siblings thawed at one moment would all ask at one moment.
        wait = _CHECK_EVERY * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
        try:
            async with asyncio.timeout(wait):  # not wait_for, which can lose a cancellation
                await vm.refused.wait()
        except TimeoutError:
            try:
                await vm.still_us()
            except (ProgramFailed, ValueError) as error:
                log.warning("guestinfo could not be read: %s", error)
