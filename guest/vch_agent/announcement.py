"""Telling the neighbours where an address is now: addresses are reused, and they may remember the card before us.

Gratuitous ARP (RFC 5227) and unsolicited neighbour advertisements (RFC 4861). When to say it is `nic`'s and
`gateway`'s business: when the carrier comes up.
"""

import contextlib
import socket
import struct
from collections.abc import Iterable

from .netlink import Address, Link

_ARP, _IPV6 = 0x0806, 0x86DD
_ALL_NODES = bytes.fromhex("ff02" + "00" * 13 + "01")
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ICMPV6, _ADVERTISEMENT, _OVERRIDE, _TARGET_LINK_LAYER = 58, 136, 0x20000000, 2


def frame(mac: str, address: Address) -> bytes:
    """The Ethernet frame that says that this MAC has the address. Pure."""
    own = bytes.fromhex(mac.replace(":", ""))
    if address.version == 4:
        arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + address.packed + b"\0" * 6 + address.packed
        return b"\xff" * 6 + own + struct.pack("!H", _ARP) + arp
    body = struct.pack("!I", _OVERRIDE) + address.packed + bytes([_TARGET_LINK_LAYER, 1]) + own
    pseudo = address.packed + _ALL_NODES + struct.pack("!II", len(body) + 4, _ICMPV6)
    checksum = _checksum(pseudo + struct.pack("!BBH", _ADVERTISEMENT, 0, 0) + body)
    message = struct.pack("!BBH", _ADVERTISEMENT, 0, checksum) + body
    header = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, 255) + address.packed + _ALL_NODES
    return _ALL_NODES_MAC + own + struct.pack("!H", _IPV6) + header + message


def send(link: Link, addresses: Iterable[Address]) -> None:
    """To everybody on the link, in this thread's network namespace. Nobody is told while it is down."""
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC) as raw,
        contextlib.suppress(OSError),
    ):
        raw.bind((link.name, 0))
        for address in addresses:
            raw.send(frame(link.mac, address))


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
