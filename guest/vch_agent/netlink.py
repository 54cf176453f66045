"""Links and addresses by rtnetlink(7), without running `ip`: an exec costs up to seconds in a busy guest.

Only what `nic` and `gateway` need; routes, rules and neighbours are in `routing`. A socket stays in the network
namespace that it was made in (`namespace`). Constants: include/uapi/linux/{netlink,rtnetlink,if_link,if_addr,veth}.h.
"""

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

ACK, REPLACE, EXCLUSIVE, DUMP, CREATE = 0x4, 0x100, 0x200, 0x300, 0x400
_NEWLINK, _GETLINK, _NEWADDR, _DELADDR, _GETADDR = 16, 18, 20, 21, 22
_REQUEST = 0x1
_ERROR, _DONE = 2, 3
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS, _IFA_F_NODAD = 1, 2, 8, 0x2
_IFF_UP, _IFF_LOOPBACK, _IFF_LOWER_UP = 0x1, 0x8, 0x10000
_ARPHRD_ETHER = 1
_GROUP_LINK = 1
_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    index: int
    name: str
    mac: str
    up: bool
    ethernet: bool
    carrier: bool = False
    """It can send: up, and connected."""
    mtu: int = 1500
    kind: str = ""
    """Of a virtual device (veth, dummy); "" of a card."""


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
        for body in self.request(_GETLINK, DUMP, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
            _, hardware, index, flags, _ = _LINK.unpack_from(body)
            told = dict(attributes(body[_LINK.size :]))
            info = dict(attributes(told.get(_IFLA_LINKINFO, b"")))
            link = Link(
                index,
                _text(told[_IFLA_IFNAME]),
                told.get(_IFLA_ADDRESS, b"").hex(":"),
                up=bool(flags & _IFF_UP),
                ethernet=hardware == _ARPHRD_ETHER and not flags & _IFF_LOOPBACK,
                carrier=bool(flags & _IFF_UP and flags & _IFF_LOWER_UP),
                mtu=int.from_bytes(told.get(_IFLA_MTU, b""), sys.byteorder),
                kind=_text(info.get(_INFO_KIND, b"")),
            )
            found.append(link)
        return sorted(found, key=lambda link: link.index)

    def link(self, name: str) -> Link | None:
        """The interface of that name, if there is one."""
        return next((link for link in self.links() if link.name == name), None)

    def add_veth(self, name: str, peer: str, peers_namespace: int, mtu: int = 1500) -> None:
        """Two interfaces of which each receives what the other sends, down; the peer in the namespace of that
        descriptor. Raises OSError when either name is taken.
        """
        size = attribute(_IFLA_MTU, struct.pack("=I", mtu))
        other = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, peer.encode() + b"\0") + size
        other += attribute(_IFLA_NET_NS_FD, struct.pack("=I", peers_namespace))
        info = attribute(_INFO_KIND, b"veth") + attribute(_INFO_DATA, attribute(_VETH_INFO_PEER, other))
        body = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, name.encode() + b"\0") + size
        self.request(_NEWLINK, ACK | CREATE | EXCLUSIVE, body + attribute(_IFLA_LINKINFO, info))

    def move(self, index: int, namespace: int, name: str) -> None:
        """Into the namespace of that descriptor, under this name, down (its addresses and routes are gone then)."""
        self.set_up(index, up=False)
        body = _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_NET_NS_FD, struct.pack("=I", namespace))
        self.request(_NEWLINK, ACK, body + attribute(_IFLA_IFNAME, name.encode() + b"\0"))

    def set_up(self, index: int, *, up: bool) -> None:
        """Bring the interface up or down."""
        self.request(_NEWLINK, ACK, _LINK.pack(0, 0, index, _IFF_UP if up else 0, _IFF_UP))

    def set_mac(self, index: int, mac: str) -> None:
        """Change the hardware address; the interface should be down."""
        address = bytes.fromhex(mac.replace(":", ""))
        self.request(_NEWLINK, ACK, _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_ADDRESS, address))

    def set_mtu(self, index: int, mtu: int) -> None:
        """Change the largest packet, in bytes."""
        self.request(_NEWLINK, ACK, _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_MTU, struct.pack("=I", mtu)))

    def addresses(self, index: int, family: int) -> list[Interface]:
        """The interface's addresses of a family (AF_INET, AF_INET6)."""
        found = []
        for body in self.request(_GETADDR, DUMP, _ADDRESS.pack(family, 0, 0, 0, 0)):
            its_family, prefix, _, _, its_index = _ADDRESS.unpack_from(body)
            told = dict(attributes(body[_ADDRESS.size :]))
            raw = told.get(_IFA_LOCAL) or told.get(_IFA_ADDRESS)
            if its_index == index and its_family == family and raw:
                found.append(ipaddress.ip_interface(f"{ipaddress.ip_address(raw)}/{prefix}"))
        return found

    def add_address(self, index: int, address: Interface) -> None:
        """Add the address, or leave it as it is."""
        self._address(_NEWADDR, ACK | CREATE | REPLACE, index, address)

    def remove_address(self, index: int, address: Interface) -> None:
        """Remove the address. Raises OSError when it is not there."""
        self._address(_DELADDR, ACK, index, address)

    def _address(self, kind: int, flags: int, index: int, address: Interface) -> None:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        body = _ADDRESS.pack(family, address.network.prefixlen, 0, 0, index)
        body += attribute(_IFA_LOCAL, address.ip.packed) + attribute(_IFA_ADDRESS, address.ip.packed)
        if address.version == 6:  # usable at once: nobody else has it, and asking takes a second
            body += attribute(_IFA_FLAGS, struct.pack("=I", _IFA_F_NODAD))
        self.request(kind, flags, body)

    def request(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        """One message of that kind; the bodies of what the kernel answers. Raises OSError."""
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


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and value of each."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind & 0x3FFF, data[4:length]
        data = data[_aligned(length) :]


def attribute(kind: int, value: bytes) -> bytes:
    """One, padded."""
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (_aligned(length) - length)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode()


def _aligned(length: int) -> int:
    return (length + 3) & ~3
