"""The life of the machine: parent → freeze → thaw → serve.

A machine without `guestinfo.vch.identity` is a parent: it warms up and freezes, and the first thing it sees afterwards
is that it is a clone. A clone that boots (reset, power cycle) or whose agent restarts finds its identity at the start
and goes the same way without the freeze.
"""

import asyncio
import gc
import logging
import os
import random
from typing import Any

from . import guestinfo, health, kubeletconfig, stillness, thaw
from .feed import Refusal
from .guestinfo import GuestInfo
from .health import Warmth
from .identity import Identity, Phase
from .keys import ForeignDisk
from .nic import NoInterface
from .pod_vm import PodVM
from .process import ProgramFailed
from .sd_notify import notify
from .settings import Settings
from .thaw import Machine

log = logging.getLogger(__name__)

_POLL = 1.0
_CHECK_EVERY = 30.0


async def run(settings: Settings, machine: Machine | None = None) -> None:
    """Live until cancelled. Raises OSError and ProgramFailed, after which the service manager starts us again."""
    hypervisor = GuestInfo(settings.rpctool)
    vm = PodVM(settings, hypervisor)
    stillness.release(settings.root)
    try:
        value = await _ask(hypervisor, guestinfo.IDENTITY)
        thawed = value is None
        if value is None:
            value = await _parent(vm)
        try:
            await _clone(vm, machine or Machine(), value, thawed=thawed)
        except Refusal as refusal:
            if not vm.refused.is_set():
                await vm.refuse(str(refusal), clone_id=str(value.get("cloneId", "")))
        notify("STATUS=refused")
        await vm.refused.wait()
        await asyncio.Event().wait()  # ending would only make the service manager start us again
    finally:
        await vm.close()


async def _parent(vm: PodVM) -> dict[str, Any]:
    """Warm up, freeze when told; returns in the clone, with its identity."""
    told = await _until_told(vm, freeze=False)
    node = told.get("node")
    if not isinstance(node, str) or not node:
        raise ValueError(f"{guestinfo.PARENT}: node: a non-empty string is required")
    await vm.serve_kubelet(node, kubeletconfig.NODE_IP)
    vm.objects.declare()  # a parent has no pod: empty is the truth
    notify("READY=1\nSTATUS=parent: warming up")
    vm.await_identity()
    await _until_warm(vm)
    notify("STATUS=parent: warm")
    log.info("warm; waiting to be told to freeze")
    await _until_told(vm, freeze=True)
    # What was allocated until now stays untouched by the collector, on pages that the clones share.
    gc.collect()
    gc.freeze()
    while True:
        stillness.hold(vm.settings.root)
        os.sync()
        log.info("freezing")
        try:
            await vm.hypervisor.freeze()
        except ProgramFailed as error:
            stillness.release(vm.settings.root)
            log.error("freeze failed: %s", error)
            await asyncio.sleep(_POLL)
        value = await _ask(vm.hypervisor, guestinfo.IDENTITY)
        if value is not None:
            log.info("thawed, and given an identity")
            return value
        stillness.release(vm.settings.root)
        await asyncio.sleep(_POLL)  # still the parent


async def _clone(vm: PodVM, machine: Machine, value: dict[str, Any], *, thawed: bool) -> None:
    """Become the clone and serve until it turns out that we may not. Raises Refusal."""
    try:
        who = Identity.parse(value)
    except ValueError as error:
        raise Refusal("BadIdentity", str(error)) from error
    restarted = vm.latch(who)
    thaw.first(machine, vm.settings, who, restarted=restarted)
    if thawed:
        _same_node(vm, who)
    else:
        await _start(vm, who)
    try:
        key = await thaw.settle_in(machine, vm.settings, vm.hypervisor, who, thawed=thawed, waiting=vm.certificate)
    except ForeignDisk as error:
        raise Refusal("CloneOfClone", str(error)) from error
    except NoInterface as error:
        raise ProgramFailed(str(error)) from error
    vm.serve_provider(key)
    await vm.report(Phase.READY, key.fingerprint)
    stillness.release(vm.settings.root)
    notify("STATUS=serving")
    log.info("serving clone %s of pod %s/%s", who.clone_id, who.namespace, who.name)
    await _watch_over(vm)


async def _start(vm: PodVM, who: Identity) -> None:
    """A clone that boots: the kubelet has yet to start, or (the agent alone restarted) asks again."""
    if vm.restore():
        log.info("objects of the time before the restart are served")
    await vm.serve_kubelet(who.node, str(who.address.ip))
    notify("READY=1\nSTATUS=clone: starting")


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
            await asyncio.wait_for(vm.refused.wait(), wait)
        except TimeoutError:
            try:
                await vm.still_us()
            except (ProgramFailed, ValueError) as error:
                log.warning("guestinfo could not be read: %s", error)


async def _until_told(vm: PodVM, *, freeze: bool) -> dict[str, Any]:
    while True:
        told = await _ask(vm.hypervisor, guestinfo.PARENT)
        if told is not None and (not freeze or told.get("freeze") is True):
            return told
        await asyncio.sleep(_POLL)


async def _until_warm(vm: PodVM) -> None:
    before = None
    while True:
        warmth = Warmth(
            containerd=await health.containerd_up(vm.settings),
            kubelet=await health.kubelet_healthy(vm.settings),
            node_ready=vm.objects.ready,
            pods_watched=vm.api.pods_watched(),
        )
        if warmth != before:
            log.info("%s", warmth)
        if warmth.complete:
            return
        before = warmth
        await asyncio.sleep(_POLL)


async def _ask(hypervisor: GuestInfo, key: str) -> dict[str, Any] | None:
    """Read a key, patiently: a hypervisor that does not answer yet must not be taken for an absent value."""
    while True:
        try:
            return await hypervisor.get_object(key)
        except (ProgramFailed, ValueError) as error:
            log.warning("%s", error)
            await asyncio.sleep(_POLL)
