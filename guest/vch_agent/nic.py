"""The guest's network cards: which is which, and the management card's own identity (MAC, address, route).

Two cards: the first is the agent's and the kubelet's, in the root namespace; the second is the Pod's, which `gateway`
takes away. A clone keeps the parent's MACs in the driver although the virtual hardware has new ones. On vSphere the
vmxnet3 driver is rebound and reads the new ones; in the simulator they are told through guestinfo.
"""

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from . import announcement, routing
from .netlink import Address, Link, Netlink, link_events

log = logging.getLogger(__name__)

_VMXNET3 = Path("sys/bus/pci/drivers/vmxnet3")
_APPEARS_WITHIN = 10.0
_AGAIN = 1.0


class NoInterface(Exception):
    """The guest has no Ethernet interface to configure."""


@dataclass(frozen=True, slots=True)
class Cards:
    """The names of the two cards; "": a real card is taken (not a veth or the like), by its place in order."""

    management: str = ""
    pods: str = ""

    def choose(self, links: list[Link]) -> Link | None:
        """The management card: the one named, else the first. Pure."""
        if self.management:
            return next((link for link in links if link.name == self.management), None)
        return next((link for link in links if _card(link) and link.name != self.pods), None)

    def choose_pods(self, links: list[Link]) -> Link | None:
        """The Pod's card: the one named, else the first that is not the management card. Pure."""
        if self.pods:
            return next((link for link in links if link.name == self.pods), None)
        first = self.choose(links)
        return next((link for link in links if _card(link) and first not in (None, link)), None)


def rebind_vmxnet3(root: Path) -> bool:
    """Make the vmxnet3 driver forget the parent's MACs; False if there is no such card.

    All cards are in the root namespace afterwards, in their order.
    """
    driver = root / _VMXNET3
    cards = sorted(path.name for path in driver.glob("0000:*")) if driver.is_dir() else []
    for card in cards:
        (driver / "unbind").write_text(card)
        (driver / "bind").write_text(card)
    return bool(cards)


async def configure(
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface,
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
    mac: str | None,
    cards: Cards = Cards(),
) -> Link:
    """Loopback up; the card gets MAC, address and default route, and the neighbours are told. Idempotent.

    It need not be connected for this. Raises NoInterface, OSError.
    """
    with Netlink() as wire:
        _loopback_up(wire)
        link = await appeared(wire, cards.choose, cards.management or "an Ethernet interface")
        link = with_mac(wire, link, mac)
        wire.set_up(link.index, up=True)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        for old in wire.addresses(link.index, family):
            if old != address and not old.ip.is_link_local:
                wire.remove_address(link.index, old)
        wire.add_address(link.index, address)
        if gateway is not None:
            routing.add_route(wire, routing.everything(gateway.version), link.index, gateway)
    announcement.send(link, [address.ip])
    return link


def with_mac(wire: Netlink, link: Link, mac: str | None) -> Link:
    """The card with that MAC, down where it had another; as it is for None. Raises OSError."""
    if not mac or mac.lower() == link.mac:
        return link
    if link.up:
        wire.set_up(link.index, up=False)
    wire.set_mac(link.index, mac)
    return Link(link.index, link.name, mac.lower(), False, link.ethernet, mtu=link.mtu, kind=link.kind)


async def keep_announced(address: Address, cards: Cards) -> None:
    """Tell the neighbours each time the management card is connected; until cancelled."""

    async def watch() -> None:
        connected = False
        with Netlink() as wire, link_events() as events:
            async for links in changes(wire, events):
                link = cards.choose(links)
                if link is not None and link.carrier and not connected:
                    announcement.send(link, [address])
                connected = link is not None and link.carrier

    await persistently("the management network", watch)


async def persistently(what: str, watch: Callable[[], Awaitable[None]]) -> None:
    """Again and again, until cancelled: what fails is logged."""
    while True:
        try:
            await watch()
        except OSError as error:
            log.warning("%s: %s", what, error)
            await asyncio.sleep(_AGAIN)


async def changes(wire: Netlink, events: socket.socket) -> AsyncIterator[list[Link]]:
    """The interfaces, at once and after each change of one. Raises OSError."""
    loop = asyncio.get_running_loop()
    while True:
        yield wire.links()
        try:
            await loop.sock_recv(events, 1 << 16)
            while True:  # those that have come together are looked at together
                events.recv(1 << 16)
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # more than the socket could keep: look again
                raise


async def appeared(wire: Netlink, choose: Callable[[list[Link]], Link | None], what: str) -> Link:
    """Wait for the interface: after a rebind, or in a slow guest, it comes a moment later (and may be renamed).

    Raises NoInterface naming `what`.
    """
    with link_events() as events:
        try:
            async with asyncio.timeout(_APPEARS_WITHIN):
                async for links in changes(wire, events):
                    if link := choose(links):
                        return link
        except TimeoutError:
            pass
    raise NoInterface(f"{what} did not appear within {_APPEARS_WITHIN:.0f} s")


def loopback() -> None:
    """Loopback alone, for a parent without a network: systemd brings it up, nothing does in a native guest."""
    with Netlink() as wire:
        _loopback_up(wire)


def release(cards: Cards = Cards()) -> None:
    """Take addresses away and the card down, its routes with it. Idempotent. Raises OSError."""
    with Netlink() as wire:
        link = cards.choose(wire.links())
        if link is None:
            return
        for family in (socket.AF_INET, socket.AF_INET6):
            for address in wire.addresses(link.index, family):
                wire.remove_address(link.index, address)
        wire.set_up(link.index, up=False)


def _card(link: Link) -> bool:
    return link.ethernet and not link.kind


def _loopback_up(wire: Netlink) -> None:
    for link in wire.links():
        if link.name == "lo" and not link.up:
            wire.set_up(link.index, up=True)
