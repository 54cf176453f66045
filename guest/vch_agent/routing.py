"""Routes, rules and neighbours by rtnetlink(7), on a `netlink` socket and so in that one's network namespace.

Each function makes something so that it is there afterwards, whether it was before or not. Constants:
include/uapi/linux/{rtnetlink,fib_rules,neighbour}.h.
"""

import errno
import ipaddress
import socket
import struct

from .netlink import ACK, CREATE, DUMP, EXCLUSIVE, REPLACE, Address, Netlink, attribute, attributes

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAIN, LOCAL = 254, 255
"""Tables: of ordinary routes, and of the kernel's own about its addresses."""

_NEWROUTE, _NEWNEIGH, _NEWRULE, _DELRULE, _GETRULE = 24, 28, 32, 33, 34
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTNH_F_ONLINK = 1, 4, 5, 4
_RTPROT_STATIC, _RTN_UNICAST, _SCOPE_UNIVERSE, _SCOPE_LINK = 4, 1, 0, 253
_FRA_DST, _FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_FWMASK, _FR_ACT_TO_TABLE = 1, 6, 10, 15, 16, 1
_NDA_DST, _NDA_LLADDR, _NUD_PERMANENT, _NTF_PROXY = 1, 2, 0x80, 0x8
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BxHiHBB")


def alone(address: Address) -> Network:
    """The network of this address only."""
    return ipaddress.ip_network(address)


def everything(version: int) -> Network:
    """The destination of a default route."""
    return ipaddress.ip_network("0.0.0.0/0" if version == 4 else "::/0")


def add_route(wire: Netlink, to: Network, index: int, via: Address | None = None, table: int = MAIN) -> None:
    """The route out of that interface: to a neighbour, or by way of one that is on this link whatever its address.

    Raises OSError, also while the interface is down.
    """
    scope = _SCOPE_LINK if via is None and to.version == 4 else _SCOPE_UNIVERSE
    flags = 0 if via is None else _RTNH_F_ONLINK
    family = _family(to.version)
    body = _ROUTE.pack(family, to.prefixlen, 0, 0, table, _RTPROT_STATIC, scope, _RTN_UNICAST, flags)
    if to.prefixlen:
        body += attribute(_RTA_DST, to.network_address.packed)
    if via is not None:
        body += attribute(_RTA_GATEWAY, via.packed)
    wire.request(_NEWROUTE, ACK | CREATE | REPLACE, body + attribute(_RTA_OIF, struct.pack("=I", index)))


def look_before_local(wire: Netlink, address: Address, table: int, priority: int, locals_priority: int) -> None:
    """What goes to this IPv4 address is looked for in `table` first, even where the address is one of our own.

    The kernel's rule about its own addresses moves behind that, to `locals_priority`. Raises OSError.
    """
    if (0, LOCAL) in (known := _rules(wire)):
        if (locals_priority, LOCAL) not in known:
            wire.request(_NEWRULE, ACK | CREATE | EXCLUSIVE, _rule(None, LOCAL, locals_priority))
        wire.request(_DELRULE, ACK, _rule(None, LOCAL, 0))
    try:
        wire.request(_NEWRULE, ACK | CREATE | EXCLUSIVE, _rule(address, table, priority))
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise


def look_in_local_first(wire: Netlink, mark: int, priority: int) -> None:
    """What has this mark is for one of our own addresses, if it is one of them, whatever other rules say (IPv4).

    Raises OSError.
    """
    marked = attribute(_FRA_FWMARK, struct.pack("=I", mark)) + attribute(_FRA_FWMASK, struct.pack("=I", 0xFFFFFFFF))
    try:
        wire.request(_NEWRULE, ACK | CREATE | EXCLUSIVE, _rule(None, LOCAL, priority) + marked)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise


def know_neighbour(wire: Netlink, address: Address, mac: str, index: int) -> None:
    """That address has this MAC, for good: it is not asked for. Raises OSError."""
    body = _NEIGHBOUR.pack(_family(address.version), 0, index, _NUD_PERMANENT, 0, 0)
    body += attribute(_NDA_DST, address.packed) + attribute(_NDA_LLADDR, bytes.fromhex(mac.replace(":", "")))
    wire.request(_NEWNEIGH, ACK | CREATE | REPLACE, body)


def answer_for(wire: Netlink, address: Address, index: int) -> None:
    """Who asks for this address at that interface is told the interface's own MAC. Raises OSError."""
    body = _NEIGHBOUR.pack(_family(address.version), 0, index, _NUD_PERMANENT, _NTF_PROXY, 0)
    wire.request(_NEWNEIGH, ACK | CREATE | REPLACE, body + attribute(_NDA_DST, address.packed))


def _rules(wire: Netlink) -> set[tuple[int, int]]:
    """Priority and table of each."""
    found = set()
    for body in wire.request(_GETRULE, DUMP, _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
        told = dict(attributes(body[_ROUTE.size :]))
        priority, table = (struct.unpack("=I", told.get(kind, bytes(4)))[0] for kind in (_FRA_PRIORITY, _FRA_TABLE))
        found.add((priority, table))
    return found


def _rule(to: Address | None, table: int, priority: int) -> bytes:
    body = _ROUTE.pack(socket.AF_INET, 0 if to is None else to.max_prefixlen, 0, 0, table, 0, 0, _FR_ACT_TO_TABLE, 0)
    if to is not None:
        body += attribute(_FRA_DST, to.packed)
    return body + attribute(_FRA_PRIORITY, struct.pack("=I", priority))


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6
