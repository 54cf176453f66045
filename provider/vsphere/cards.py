"""The two network cards of a pod VM: the first is the VM's own (management), the second is its Pod's.

An instant clone has its parent's cards under the same keys, with addresses of its own; so what an edit of them has to
say is read once for each parent. They are without connection from the freeze on, since a clone begins with what its
parent's memory has of addresses, and are connected by whoever connects anything to the clone: with its pin.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyVmomi import vim

from provider.errors import TemplateUnsuitable, VMGone
from provider.vsphere.inventory import these
from provider.vsphere.session import Session

DEVICES = "config.hardware.device"
NEEDED = 2

Edit = vim.vm.device.VirtualDeviceSpec
_Card = vim.vm.device.VirtualEthernetCard


@dataclass(frozen=True, slots=True)
class Card:
    """What an edit of a card has to name. Not its address, which is each VM's own."""

    kind: type
    key: int
    controller: int | None
    unit: int | None
    backing: Any
    connected: bool

    def edit(self, connected: bool, *, at_birth: bool = False) -> Edit:
        """`connected` is for now and for each start of the VM; its guest has no say in it.

        At the birth of an instant clone it is `migrateConnect` that counts: a device otherwise goes on as its source's
        was. Afterwards that is taken back, or it would hold for a migration as well.
        """
        at_migration = ("connect" if connected else "disconnect") if at_birth else "unset"
        state = vim.vm.device.VirtualDevice.ConnectInfo(
            connected=connected, startConnected=connected, allowGuestControl=False, migrateConnect=at_migration
        )
        device = self.kind(key=self.key, backing=self.backing, connectable=state)
        if self.controller is not None:
            device.controllerKey = self.controller
        if self.unit is not None:
            device.unitNumber = self.unit
        return Edit(operation="edit", device=device)


def among(devices: Iterable[Any]) -> tuple[Card, ...]:
    """The network cards of a VM in the order in which its guest counts them."""
    found = (device for device in devices if isinstance(device, _Card))
    return tuple(sorted((_card(device) for device in found), key=lambda card: card.key))


def of_template(name: str, devices: Iterable[Any]) -> tuple[Card, Card]:
    """Raises TemplateUnsuitable."""
    found = among(devices)
    if len(found) < NEEDED:
        raise TemplateUnsuitable(
            f"the template {name!r} has {len(found) or 'no'} network card{'' if len(found) == 1 else 's'}, and pod VMs "
            "need two, the first for the VM itself, the second for its Pod: add what is missing to the template"
        )
    return found[0], found[1]


def made(own: tuple[Card, Card], backings: tuple[Any, Any], *, pods_apart: bool, pulls: bool) -> list[Edit]:
    """The cards of a parent. `backings`: of the port groups that are named; the first is connected while it pulls."""
    first = replace(own[0], backing=backings[0] or own[0].backing)
    of_pods = backings[1] or (own[1].backing if pods_apart else first.backing)
    return [first.edit(pulls), replace(own[1], backing=of_pods).edit(False)]


def born(parents: Sequence[Card], *, pulls: bool) -> list[Edit]:
    """What differs in an instant clone: nothing is connected, or the first card of a fork that pulls images."""
    wanted = [pulls and number == 0 for number, _ in enumerate(parents)]
    return [
        card.edit(there, at_birth=True) for card, there in zip(parents, wanted, strict=True) if card.connected != there
    ]


def connected(cards: Sequence[Card], of_pods: Any = None) -> list[Edit]:
    """Both of a clone; the second with another backing, where `of_pods` is given."""
    return [
        (replace(card, backing=of_pods) if number and of_pods else card).edit(True)
        for number, card in enumerate(cards[:NEEDED])
    ]


def _card(device: Any) -> Card:
    state = device.connectable
    return Card(
        kind=type(device),
        key=device.key,
        controller=device.controllerKey,
        unit=device.unitNumber,
        backing=_shared(device.backing),
        connected=state is None or bool(state.connected or state.startConnected),
    )


def _shared(backing: Any) -> Any:
    """Of the network alone: the port of a distributed switch is that VM's, and another one must not be put on it."""
    if isinstance(backing, _Card.DistributedVirtualPortBackingInfo):
        port = vim.dvs.PortConnection(portgroupKey=backing.port.portgroupKey, switchUuid=backing.port.switchUuid)
        return _Card.DistributedVirtualPortBackingInfo(port=port)
    return backing


class Cards:
    """The cards of parents and of the clones that were made of them, as far as this process has made them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[str, tuple[Card, ...]] = {}  # by moref; of a clone those of its parent
        self._reading = asyncio.Lock()

    async def of(self, vm: str) -> tuple[Card, ...]:
        """Read once for each VM. Raises VMGone."""
        if vm not in self._known:
            async with self._reading:  # many Pods at once wait for one answer
                if vm not in self._known:
                    self._known[vm] = await self._session.call("RetrieveCards", lambda: self._read(vm))
        return self._known[vm]

    def cloned(self, clone: str, parent: str) -> None:
        """A clone has what its parent has."""
        if parent in self._known:
            self._known[clone] = self._known[parent]

    def forget(self, vm: str) -> None:
        """It has been pinned, or is gone."""
        self._known.pop(vm, None)

    def _read(self, vm: str) -> tuple[Card, ...]:
        found = these(
            self._session.content, vim.VirtualMachine, [self._session.object(vim.VirtualMachine, vm)], DEVICES
        )
        if not found:
            raise VMGone(f"the VM {vm} is gone from the inventory")
        return among(found[0].properties.get(DEVICES) or ())
