"""Give the clone's network card its own identity: MAC, address, route.

A clone keeps the parent's MAC in the driver although the virtual hardware has a new one. On vSphere the vmxnet3 driver
is rebound and reads the new one; in the simulator the new one is told through guestinfo (`guestinfo.vch.mac`).
"""

import asyncio
import ipaddress
import socket
import struct
from pathlib import Path

from .netlink import Link, Netlink, link_events

_VMXNET3 = Path("sys/bus/pci/drivers/vmxnet3")
_APPEARS_WITHIN = 10.0


class NoInterface(Exception):
    """The guest has no Ethernet interface to configure."""


def rebind_vmxnet3(root: Path) -> bool:
    """Make the vmxnet3 driver forget the parent's MAC; False if there is no such card."""
    driver = root / _VMXNET3
    cards = sorted(path.name for path in driver.glob("0000:*")) if driver.is_dir() else []
    for card in cards:
        (driver / "unbind").write_text(card)
        (driver / "bind").write_text(card)
    return bool(cards)


def choose(links: list[Link], wanted: str) -> Link | None:
    """The interface called `wanted`, else the first Ethernet one. Pure."""
    return next((link for link in links if (link.name == wanted if wanted else link.ethernet)), None)


async def configure(
    address: ipaddress.IPv4Interface | ipaddress.IPv6Interface,
    gateway: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
    mac: str | None,
    wanted: str = "",
) -> Link:
    """Loopback up; the card gets MAC, address and default route, and the neighbours are told. Idempotent.

    Raises NoInterface, OSError.
    """
    with Netlink() as netlink:
        _loopback_up(netlink)
        link = await _appeared(netlink, wanted)
        if mac and mac.lower() != link.mac:
            if link.up:
                netlink.set_up(link.index, up=False)
            netlink.set_mac(link.index, mac)
            link = Link(link.index, link.name, mac.lower(), False, link.ethernet)
        netlink.set_up(link.index, up=True)
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        for old in netlink.addresses(link.index, family):
            if old != address and not old.ip.is_link_local:
                netlink.remove_address(link.index, old)
        netlink.add_address(link.index, address)
        if gateway is not None:
            netlink.default_route(link.index, gateway)
    if address.version == 4:
        announce(link, address.ip)
    return link


def loopback() -> None:
    """Loopback alone, for a parent without a network: systemd brings it up, nothing does in a native guest."""
    with Netlink() as netlink:
        _loopback_up(netlink)


def release(wanted: str = "") -> None:
    """Take addresses away and the card down, its routes with it. Idempotent. Raises OSError."""
    with Netlink() as netlink:
        link = choose(netlink.links(), wanted)
        if link is None:
            return
        for family in (socket.AF_INET, socket.AF_INET6):
            for address in netlink.addresses(link.index, family):
                netlink.remove_address(link.index, address)
        netlink.set_up(link.index, up=False)


def announce(link: Link, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Gratuitous ARP: addresses are reused, and neighbours may remember the card of the pod VM before us."""
    mac = bytes.fromhex(link.mac.replace(":", ""))
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + address.packed + b"\0" * 6 + address.packed
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC) as raw:
        raw.bind((link.name, 0))
        raw.send(b"\xff" * 6 + mac + b"\x08\x06" + arp)


def _loopback_up(netlink: Netlink) -> None:
    for link in netlink.links():
        if link.name == "lo" and not link.up:
            netlink.set_up(link.index, up=True)


async def _appeared(netlink: Netlink, wanted: str) -> Link:
    """Wait for the interface: after a rebind, or in a slow guest, it comes a moment later (and may be renamed)."""
    with link_events() as events:
        if link := choose(netlink.links(), wanted):
            return link
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_APPEARS_WITHIN):
                while True:
                    await loop.sock_recv(events, 1 << 16)
                    if link := choose(netlink.links(), wanted):
                        return link
        except TimeoutError:
            name = wanted or "an Ethernet interface"
            raise NoInterface(f"{name} did not appear within {_APPEARS_WITHIN:.0f} s") from None
