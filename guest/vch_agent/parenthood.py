"""The life of a parent: told what to be, prepared, warm, frozen; and what the one that goes on from there is.

That one is a clone (it has an identity), a fork (another parentId: it becomes that parent, on top of what it is
already), or, when the freeze failed, still the parent. A fork may be forked again.
"""

import asyncio
import contextlib
import gc
import logging
import os
from typing import Any

from . import __version__, files, firewall, guestinfo, health, kubeletconfig, parent, plan, preparation, stillness, thaw
from .health import Warmth
from .nic import NoInterface
from .parent import Facts, Parent, ParentPhase
from .pod_vm import PodVM
from .preparation import PreparationFailed, Record
from .process import ProgramFailed
from .sd_notify import notify
from .settings import Platform
from .setup import GUEST
from .system import System
from .thaw import Machine

log = logging.getLogger(__name__)

POLL = 1.0
_LOOKS_AGAIN = 5.0
_LONGEST_PAUSE = 30.0
_MOST_IMAGES = 50
_OPENS_WITHIN = 60.0
"""As many as a kubelet puts into its Node's status; guestinfo is not for more."""


class Parenthood:
    """One machine as a parent, of one id after the other."""

    def __init__(self, vm: PodVM, machine: Machine, system: System) -> None:
        self._vm = vm
        self._machine = machine
        self._system = system
        self._bare = self._facts = Facts(
            os_image=system.distribution(), kernel_version=system.release(), agent_version=__version__
        )
        """What is known before it is prepared."""
        self._latch = vm.settings.run / "parent-id"
        """Of the fork whose memory goes on from its base's; gone after a boot."""

    async def run(self) -> dict[str, Any]:
        """Returns in a clone, with its identity. Raises OSError, ProgramFailed."""
        told = await ask(self._vm, guestinfo.PARENT, wanted=True)
        thawed = False
        while True:
            try:
                await self._become(told, thawed=thawed)
            except PreparationFailed as error:
                log.error("%s", error)
                notify("STATUS=parent: failed")
                await self._report(told, ParentPhase.FAILED, str(error))
                told, thawed = await self._other_than(told), False
                continue
            told = await self._until_told_to_freeze(told)
            if told.get("freeze") is not True:
                thawed = False
                continue
            value, told = await self._freeze(told)
            if value is not None:
                return value
            thawed = True

    async def _become(self, told: dict[str, Any], *, thawed: bool) -> None:
        """Be the parent that the message speaks of, warm. Raises PreparationFailed, OSError, ProgramFailed."""
        vm = self._vm
        try:
            who = Parent.parse(told)
            if thawed and (who.seed is None or who.time is None):
                raise PreparationFailed("parent.seed, parent.time: a fork needs both, its base's are used up")
            if who.seed is not None and who.time is not None:
                thaw.renew(self._machine, vm.settings, who.seed, who.time)
            if vm.node and who.node != vm.node:
                raise PreparationFailed(f"parent.node: {who.node!r}, but this kubelet runs as {vm.node}")
            record = preparation.load(vm.settings.lib).now(who.parent_id, who.setup)
            if vm.node and record.effective.dns != vm.dns:
                raise PreparationFailed("parent.setup.dns: the kubelet runs with another, its base's, and keeps it")
            steps = plan.steps(record.effective, vm.settings.platform)
        except ValueError as error:
            raise PreparationFailed(str(error)) from error
        vm.parent_id = who.parent_id
        await self._report(told, ParentPhase.PREPARING, "preparing the machine")
        preparation.save(vm.settings.lib, record)
        if thawed:
            files.write(self._latch, who.parent_id)

        async def say(message: str) -> None:
            await self._report(told, ParentPhase.PREPARING, message)

        record = await preparation.prepare(self._system, vm.settings.lib, record, steps, say)
        await self._build_gateway(record.effective.sysctls)
        if not vm.node:
            self._system.loopback()
            await vm.serve_kubelet(who.node, kubeletconfig.NODE_IP, record.effective.dns)
            vm.objects.declare()  # a parent has no pod: empty is the truth
            if record.effective.service_routing == GUEST:
                await vm.serve_proxy()
                vm.proxy.routes.declare()  # nor Services
            vm.await_identity()
        notify("READY=1\nSTATUS=parent: warming up")
        await self._until_warm()
        self._facts = await self._find_out(record)
        await self._report(told, ParentPhase.WARM, "", self._facts)
        notify("STATUS=parent: warm")
        log.info("warm")

    async def _build_gateway(self, sysctls: dict[str, str]) -> None:
        """All of the Pod's network that needs no address. Raises PreparationFailed."""
        try:
            if self._vm.settings.platform is Platform.VM:
                await self._system.have_modules(firewall.MODULES)
            await self._vm.gateway.build(sysctls)
            await self._open_firewall()
        except (OSError, NoInterface, ProgramFailed) as error:
            raise PreparationFailed(f"the Pod's network: {error}") from error

    async def _open_firewall(self) -> None:
        """Before the freeze: the clone of a Pod that is not isolated need not run nft. Raises ProgramFailed."""
        pods = self._vm.objects.firewall
        pods.want(None)
        if not await pods.settled(_OPENS_WITHIN):
            raise ProgramFailed(f"nft has not emptied the Pod's chains within {_OPENS_WITHIN:.0f} s")

    async def _freeze(self, told: dict[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Returns in whoever goes on: the identity of a clone, or None and the message of a fork."""
        vm = self._vm
        # What was allocated until now stays untouched by the collector, on pages that the clones share.
        gc.collect()
        gc.freeze()
        pause = POLL
        while True:
            stillness.hold(vm.settings.root)
            os.sync()
            log.info("freezing")
            failure: ProgramFailed | None = None
            try:
                await vm.hypervisor.freeze()
            except ProgramFailed as error:
                failure = error
            value = await ask(vm, guestinfo.IDENTITY)
            if value is not None:
                log.info("thawed, and given an identity")
                return value, told
            stillness.release(vm.settings.root)
            message = await ask(vm, guestinfo.PARENT)
            if message is not None and parent.parent_id(message) != parent.parent_id(told):
                log.info("thawed as the fork %s", parent.parent_id(message))
                return None, message
            cause = f"still the parent: {failure or 'the freeze ended without a clone'}"
            log.error("%s", cause)
            await self._report(told, ParentPhase.WARM, cause, self._facts)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _until_told_to_freeze(self, told: dict[str, Any]) -> dict[str, Any]:
        """The message when it says so, or when it is about something else by now."""
        while told.get("freeze") is not True:
            await asyncio.sleep(POLL)
            now = await ask(self._vm, guestinfo.PARENT, wanted=True)
            if {**now, "freeze": None} != {**told, "freeze": None}:
                return {**now, "freeze": None}
            told = now
        return told

    async def _other_than(self, told: dict[str, Any]) -> dict[str, Any]:
        """After a failure: the message that mends it. (A reset of the machine tries the same one again.)"""
        while True:
            await asyncio.sleep(_LOOKS_AGAIN)
            now: dict[str, Any] = await ask(self._vm, guestinfo.PARENT, wanted=True)
            if now != told:
                return now

    async def _until_warm(self) -> None:
        vm, before = self._vm, None
        while True:
            warmth = Warmth(
                containerd=await health.containerd_up(vm.settings),
                kubelet=await health.kubelet_healthy(vm.settings),
                node_ready=vm.objects.ready,
                pods_watched=vm.api.pods_watched(),
                services_watched=vm.proxy.warm,
            )
            if warmth != before:
                log.info("%s", warmth)
            if warmth.complete:
                return
            before = warmth
            await asyncio.sleep(POLL)

    async def _find_out(self, record: Record) -> Facts:
        """What the clones will be made of; parts that cannot be found out are left out."""
        vm, system = self._vm, self._system
        images, runtime = [], vm.api.runtime_version
        try:
            runtime = runtime or await system.runtime()
            images = await system.images()
        except ProgramFailed as error:
            log.warning("%s", error)
        booted = files.read(self._latch) != record.parent_id
        return Facts(
            os_image=system.distribution(),
            kernel_version=system.release(),
            kubelet_version=vm.api.kubelet_version,
            container_runtime_version=runtime,
            agent_version=__version__,
            images=images[:_MOST_IMAGES],
            shares_memory=vm.settings.platform is Platform.VM
            and not (booted and (record.forked or record.effective.kernel_parameters)),
        )

    async def _report(
        self,
        told: dict[str, Any],
        phase: ParentPhase,
        message: str,
        facts: Facts | None = None,
    ) -> None:
        text = parent.report(parent.parent_id(told), phase, message, facts or self._bare)
        with contextlib.suppress(ProgramFailed):
            await self._vm.hypervisor.set(guestinfo.REPORT, text)


async def ask(vm: PodVM, key: str, *, wanted: bool = False) -> Any:
    """Read a key, patiently: a hypervisor that does not answer yet must not be taken for an absent value.

    With `wanted` an absent value is waited for.
    """
    while True:
        try:
            value = await vm.hypervisor.get_object(key)
        except (ProgramFailed, ValueError) as error:
            log.warning("%s", error)
        else:
            if value is not None or not wanted:
                return value
        await asyncio.sleep(POLL)
