"""Making, switching on and retiring one parent: the ways to vSphere that the parent controller takes.

Not when and which: that is `parent_lifecycle`'s, and the neighbour `controller` runs it. None of the steps is repeated
here; what is there after one that failed is seen by the next look.
"""

import asyncio
import base64
import contextlib
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from provider import errors, guestinfo, parent_message
from provider.clock import Clock
from provider.parent_controller.inventory import ParentInventory
from provider.parent_slots import Slot
from provider.parentvm import MakeParent, ParentAppeared, ParentMarks, ParentVM, name_end
from provider.podvm import InventoryEvent, PowerState, VSphere

APPEARS_WITHIN = 60.0
"""Seconds from the end of a parent's task to its VM in the inventory watch."""
_NAME_LIMIT = 79  # vSphere: names have fewer than 80 characters


class Addresses(Protocol):
    """Addresses for parents while they are prepared; the pod VMs' pool."""

    def lend(self, holder: str) -> Mapping[str, Any]:
        """The agent's `network` member. Raises AddressesExhausted."""

    def give_back(self, holder: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose parents they are."""

    cluster: str
    vch: str
    node: str


class ParentSteps:
    """Of one virtual node."""

    def __init__(
        self,
        owner: Owner,
        inventory: ParentInventory,
        vsphere: VSphere,
        addresses: Addresses,
        clock: Clock,
        lend: Callable[[ParentVM], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._owner = owner
        self._inventory = inventory
        self._vsphere = vsphere
        self._addresses = addresses
        self._clock = clock
        self._lend = lend
        self._appearing: dict[str, asyncio.Event] = {}
        self._log = structlog.get_logger(node=owner.node)

    def inventory_changed(self, event: InventoryEvent) -> None:
        """vSphere shows something new: perhaps what a step waits for."""
        seen = event.vm if isinstance(event, ParentAppeared) and event.vm.power_state is PowerState.ON else None
        if seen is not None and (appearing := self._appearing.get(seen.moref)):
            appearing.set()

    async def make(self, slot: Slot, base: ParentVM | None) -> None:
        """Returns when it boots (or thaws, as a fork of `base`). Raises AddressesExhausted, VSphereError."""
        parent_id = secrets.token_hex(16)
        try:
            await self._make_told(slot, base, parent_id)
        finally:
            self._addresses.give_back(parent_id)  # the VM says itself which one it has

    async def _make_told(self, slot: Slot, base: ParentVM | None, parent_id: str) -> None:
        owner, setup = self._owner, slot.image.setup
        network = self._addresses.lend(parent_id) if parent_message.needs_network(setup) else None
        now = self._clock.now().timestamp()
        told = parent_message.message(
            parent_id=parent_id,
            node=owner.node,
            now=now,
            seed=base64.b64encode(os.urandom(64)).decode(),
            setup=setup,
            network=network,
        )
        marks = ParentMarks(owner.cluster, owner.vch, parent_id, slot.key, slot.digest, now)
        address = str(network["address"]).partition("/")[0] if network else ""
        request = MakeParent(
            name=self._name(slot, parent_id),
            source=base.moref if base else slot.image.source,
            host=slot.key.host,
            cpus=slot.vm_class.cpus,
            memory_mib=slot.vm_class.memory_mib,
            extra_config=guestinfo.encode_parent(marks, told, address),
            fork=base is not None,
            pulls=network is not None,
        )
        self._log.info("making parent", vm=request.name, fork_of=base.name if base else None)
        with self._lend(base) if base else contextlib.nullcontext():
            moref = await self._vsphere.make_parent(request)
        if base is None:
            await self._vsphere.power_on(moref)
        await self._appears(moref)

    async def _appears(self, moref: str) -> None:
        """Only what the watch shows is there for `decide`, and on; else the next step would be taken at once."""
        if any(vm.moref == moref and vm.power_state is PowerState.ON for vm in self._inventory.parents):
            return
        appeared = self._appearing[moref] = asyncio.Event()
        try:
            async with asyncio.timeout(APPEARS_WITHIN):
                await appeared.wait()
        except TimeoutError:
            raise errors.TaskFailed(f"the parent {moref} did not appear in the VCH's folder, switched on") from None
        finally:
            del self._appearing[moref]

    async def power_on(self, vm: ParentVM) -> None:
        """It boots to its freeze point. Raises VSphereError."""
        self._log.info("parent powered on", vm=vm.name)
        await self._vsphere.power_on(vm.moref)
        await self._appears(vm.moref)

    async def retire(self, vm: ParentVM, why: str) -> None:
        """Gone already: success. Raises VSphereError."""
        self._log.info("retiring parent", vm=vm.name, moref=vm.moref, why=why)
        await self._vsphere.power_off(vm.moref)
        await self._vsphere.destroy(vm.moref)
        self._inventory.destroyed(vm.moref)
        self._addresses.give_back(vm.marks.parent_id)

    def _name(self, slot: Slot, parent_id: str) -> str:
        """Names are for people, marks say what it is; the digits make it unique."""
        host = self._inventory.hosts.get(slot.key.host)
        words = [self._owner.node, "parent", slot.key.image, slot.key.vm_class, host.name if host else slot.key.host]
        text = "-".join(words).replace("/", "-").replace("\\", "-").replace("%", "-")
        end = name_end(parent_id)
        return f"{text[: _NAME_LIMIT - len(end)]}{end}"
