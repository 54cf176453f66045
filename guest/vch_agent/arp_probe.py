"""Whether somebody has an address already, asked before it is used (RFC 5227).

Three questions in half a second, not in seven as the RFC has it: a Pod waits for the answer, and a virtual network does
not take that long. Its neighbour `announcement` says afterwards whose the address is.
"""

import asyncio
import socket
import struct

from .namespace import Namespace
from .netlink import Link

_ARP = 0x0806
_TIMES, _APART = 3, 0.17


def frame(mac: str, address: bytes) -> bytes:
    """The question: who has the address? Nobody learns anything from it. Pure."""
    own = bytes.fromhex(mac.replace(":", ""))
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + own + b"\0" * 4 + b"\0" * 6 + address
    return b"\xff" * 6 + own + struct.pack("!H", _ARP) + arp


def holder(heard: bytes, own: str, address: bytes) -> str | None:
    """The MAC of another that has the address or is about to take it, by an ARP frame. Pure."""
    if len(heard) < 42 or heard[12:14] != struct.pack("!H", _ARP):
        return None
    mac, sender, target = heard[22:28].hex(":"), heard[28:32], heard[38:42]
    has_it = sender == address
    takes_it = sender == b"\0" * 4 and target == address and heard[20:22] == b"\0\1"
    return mac if mac != own and (has_it or takes_it) else None


async def taken_by(namespace: Namespace, link: Link, address: bytes, but: str) -> str | None:
    """The MAC of whoever has the address; `but` that one, a router that answers for everybody. Raises OSError."""
    loop = asyncio.get_running_loop()

    def opened() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(_ARP))
        made.setblocking(False)
        made.bind((link.name, _ARP))
        return made

    with namespace.call(opened) as wire:
        for _ in range(_TIMES):
            await loop.sock_sendall(wire, frame(link.mac, address))
            try:
                async with asyncio.timeout(_APART):
                    while True:
                        found = holder(await loop.sock_recv(wire, 2048), link.mac, address)
                        if found not in (None, but):
                            return found
            except TimeoutError:
                continue
    return None
