"""Links, addresses and routes by rtnetlink(7), without running `ip`: an exec costs up to seconds in a busy guest.

Only what `nic` needs. Constants: include/uapi/linux/{netlink,rtnetlink,if_link,if_addr}.h.
"""

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_NEWLINK, _GETLINK, _NEWADDR, _DELADDR, _GETADDR, _NEWROUTE = 16, 18, 20, 21, 22, 24
_REQUEST, _ACK, _REPLACE, _DUMP, _CREATE = 0x1, 0x4, 0x100, 0x300, 0x400
_ERROR, _DONE = 2, 3
_IFLA_ADDRESS, _IFLA_IFNAME, _IFA_ADDRESS, _IFA_LOCAL, _RTA_OIF, _RTA_GATEWAY = 1, 3, 1, 2, 4, 5
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
_ARPHRD_ETHER = 1
_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 4, 0, 1
_GROUP_LINK = 1
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    index: int
    name: str
    mac: str
    up: bool
    ethernet: bool


class Netlink:
    """One rtnetlink socket; every call blocks for the kernel's answer, which is immediate."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def links(self) -> list[Link]:
        """All interfaces, by index."""
        found = []
        for body in self._request(_GETLINK, _DUMP, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _, hardware, index, flags, _ = _LINK.unpack_from(body)
            attributes = dict(_attributes(body[_LINK.size :]))
            name = attributes[_IFLA_IFNAME].rstrip(b"\0").decode()
            ethernet = hardware == _ARPHRD_ETHER and not flags & _IFF_LOOPBACK
            mac = attributes.get(_IFLA_ADDRESS, b"").hex(":")
            found.append(Link(index, name, mac, bool(flags & _IFF_UP), ethernet))
        return sorted(found, key=lambda link: link.index)

    def set_up(self, index: int, *, up: bool) -> None:
        """Bring the interface up or down."""
        self._request(_NEWLINK, _ACK, _LINK.pack(0, 0, index, _IFF_UP if up else 0, _IFF_UP))

    def set_mac(self, index: int, mac: str) -> None:
        """Change the hardware address; the interface should be down."""
        address = bytes.fromhex(mac.replace(":", ""))
        self._request(_NEWLINK, _ACK, _LINK.pack(0, 0, index, 0, 0) + _attribute(_IFLA_ADDRESS, address))

    def addresses(self, index: int, family: int) -> list[Interface]:
        """The interface's addresses of a family (AF_INET, AF_INET6)."""
        found = []
        for body in self._request(_GETADDR, _DUMP, _ADDRESS.pack(family, 0, 0, 0, 0)):
            its_family, prefix, _, _, its_index = _ADDRESS.unpack_from(body)
            attributes = dict(_attributes(body[_ADDRESS.size :]))
            raw = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
            if its_index == index and its_family == family and raw:
                found.append(ipaddress.ip_interface(f"{ipaddress.ip_address(raw)}/{prefix}"))
        return found

    def add_address(self, index: int, address: Interface) -> None:
        """Add the address, or leave it as it is."""
        self._address(_NEWADDR, _ACK | _CREATE | _REPLACE, index, address)

    def remove_address(self, index: int, address: Interface) -> None:
        """Remove the address. Raises OSError when it is not there."""
        self._address(_DELADDR, _ACK, index, address)

    def default_route(self, index: int, gateway: Address) -> None:
        """Set the default route."""
        family = socket.AF_INET if gateway.version == 4 else socket.AF_INET6
        route = _ROUTE.pack(family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_UNICAST, 0)
        route += _attribute(_RTA_GATEWAY, gateway.packed) + _attribute(_RTA_OIF, struct.pack("=I", index))
        self._request(_NEWROUTE, _ACK | _CREATE | _REPLACE, route)

    def _address(self, kind: int, flags: int, index: int, address: Interface) -> None:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        head = _ADDRESS.pack(family, address.network.prefixlen, 0, 0, index)
        raw = address.ip.packed
        self._request(kind, flags, head + _attribute(_IFA_LOCAL, raw) + _attribute(_IFA_ADDRESS, raw))

    def _request(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        self._sequence += 1
        length = _HEADER.size + len(body)
        self._socket.send(_HEADER.pack(length, kind, _REQUEST | flags, self._sequence, 0) + body)
        answers: list[bytes] = []
        while True:
            for kind_back, sequence, payload in _messages(self._socket.recv(1 << 16)):
                if sequence != self._sequence:
                    continue
                if kind_back == _ERROR:
                    code = struct.unpack_from("=i", payload)[0]
                    if code:
                        raise OSError(-code, f"rtnetlink: {os.strerror(-code)}")
                    return answers
                if kind_back == _DONE:
                    return answers
                answers.append(payload)


def link_events() -> socket.socket:
    """A socket that becomes readable when an interface appears or changes."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    events.bind((0, _GROUP_LINK))
    events.setblocking(False)
    return events


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, _, sequence, _ = _HEADER.unpack_from(data)
        yield kind, sequence, data[_HEADER.size : length]
        data = data[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind & 0x3FFF, data[4:length]
        data = data[_aligned(length) :]


def _attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (_aligned(length) - length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
