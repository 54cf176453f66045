"""DHCP's messages (RFC 2131, RFC 2132) as Ethernet frames, both ways. Pure; sending them is `dhcp_client`'s.

Why not a program of the distribution: udhcpc, dhcpcd and dhclient each go on with another address when the server
refuses the one they have, which for a Pod is the end, not news; Photon has no udhcpc, and a native guest has what its
host has; and each event of theirs runs a shell, seconds in a busy guest. Here is what a Pod needs of the protocol.
"""

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

IPv4 = ipaddress.IPv4Address

SERVER_PORT, CLIENT_PORT = 67, 68
_NOBODY, _EVERYBODY = IPv4("0.0.0.0"), IPv4("255.255.255.255")
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_MAGIC = bytes.fromhex("63825363")
_BOOTP = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_IP = struct.Struct("!BBHHHBBH4s4s")
_UDP = struct.Struct("!HHHH")
_SHORTEST = 300
"""Bytes of a message: some relays drop shorter ones, which BOOTP did not have."""
_FOR_EVER = 0xFFFFFFFF

_MASK, _ROUTER, _HOSTNAME, _WANTED, _SECONDS, _KIND, _SERVER = 1, 3, 12, 50, 51, 53, 54
_ASKED, _TEXT, _SIZE, _RENEW, _REBIND, _IDENTIFIER, _PAD, _END = 55, 56, 57, 58, 59, 61, 0, 255


class Kind(IntEnum):
    """What a message is."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks; the identifier is one clone's and never its parent's."""

    mac: str
    identifier: bytes
    hostname: str


@dataclass(frozen=True, slots=True)
class Lease:
    """What a server has given. Seconds count from the request."""

    address: ipaddress.IPv4Interface
    gateway: IPv4 | None
    server: IPv4
    server_mac: str
    """Of the machine that its answer came from: itself, or the router on the way to it."""
    seconds: int
    renew_after: int
    rebind_after: int


@dataclass(frozen=True, slots=True)
class Message:
    """A server's message."""

    kind: Kind
    transaction: int
    mac: str
    """Whom it is for."""
    sender: str
    """The frame's."""
    address: IPv4
    options: Mapping[int, bytes]

    @property
    def server(self) -> IPv4 | None:
        return _address(self.options.get(_SERVER, b""))

    @property
    def text(self) -> str:
        """The server's own words, as many as a message for people can bear."""
        return self.options.get(_TEXT, b"").decode("utf-8", "replace").strip("\0")[:200]


def discover(client: Client, transaction: int) -> bytes:
    """Is there a server?"""
    return _broadcast(client, transaction, Kind.DISCOVER, {})


def request(client: Client, transaction: int, offer: Message) -> bytes:
    """Take what was offered."""
    chosen = {_WANTED: offer.address.packed, _SERVER: offer.options[_SERVER]}
    return _broadcast(client, transaction, Kind.REQUEST, chosen)


def confirm(client: Client, transaction: int, address: IPv4) -> bytes:
    """Is the address of before still ours? (INIT-REBOOT)"""
    return _broadcast(client, transaction, Kind.REQUEST, {_WANTED: address.packed})


def renew(client: Client, transaction: int, lease: Lease) -> bytes:
    """To the server that gave it."""
    return _unicast(client, transaction, Kind.REQUEST, {}, lease)


def rebind(client: Client, transaction: int, lease: Lease) -> bytes:
    """To any server, since the one that gave it does not answer."""
    return _broadcast(client, transaction, Kind.REQUEST, {}, lease.address.ip)


def decline(client: Client, transaction: int, lease: Lease) -> bytes:
    """The address is of no use: somebody has it."""
    which = {_WANTED: lease.address.ip.packed, _SERVER: lease.server.packed}
    return _broadcast(client, transaction, Kind.DECLINE, which)


def release(client: Client, transaction: int, lease: Lease) -> bytes:
    """It is not needed any more."""
    return _unicast(client, transaction, Kind.RELEASE, {_SERVER: lease.server.packed}, lease)


def parse(frame: bytes) -> Message | None:
    """A server's message in a frame; None: it is none.

    Checksums are not looked at: between virtual cards they are often left out, and to a raw socket that shows.
    """
    try:
        if frame[12:14] != b"\x08\x00" or frame[23] != 17:
            return None
        udp = 14 + (frame[14] & 0xF) * 4
        source, target, length, _ = _UDP.unpack_from(frame, udp)
        body = frame[udp + _UDP.size : udp + length]
        fields = _BOOTP.unpack_from(body)
        options = _options(body[_BOOTP.size :])
        kind = Kind(options[_KIND][0])
    except (struct.error, IndexError, KeyError, ValueError):
        return None
    if (source, target) != (SERVER_PORT, CLIENT_PORT) or fields[:3] != (2, 1, 6):
        return None
    return Message(kind, fields[4], fields[11][:6].hex(":"), frame[6:12].hex(":"), IPv4(fields[8]), options)


def lease(ack: Message) -> Lease:
    """What an ACK gives. Raises ValueError that says what is wrong with it."""
    server, mask = ack.server, ack.options.get(_MASK, b"")
    seconds = _number(ack.options.get(_SECONDS, b""))
    if server is None or seconds is None or seconds == 0:
        raise ValueError("it names no server or no time")
    if len(mask) != 4:
        raise ValueError("it has no subnet mask")
    address = ipaddress.IPv4Interface(f"{ack.address}/{IPv4(mask)}")
    if (
        ack.address in (address.network.network_address, address.network.broadcast_address)
        and mask < b"\xff\xff\xff\xfe"
    ):
        raise ValueError(f"{address} is not a machine's address")
    renew_after = _number(ack.options.get(_RENEW, b"")) or seconds // 2
    rebind_after = _number(ack.options.get(_REBIND, b"")) or seconds * 7 // 8
    if not renew_after <= rebind_after <= seconds:
        renew_after, rebind_after = seconds // 2, seconds * 7 // 8
    router = _address(ack.options.get(_ROUTER, b"")[:4])
    return Lease(address, router, server, ack.sender, seconds, renew_after, rebind_after)


def endless(given: Lease) -> bool:
    """It never has to be renewed."""
    return given.seconds == _FOR_EVER


def _broadcast(
    client: Client, transaction: int, kind: Kind, options: Mapping[int, bytes], own: IPv4 = _NOBODY
) -> bytes:
    return _frame(_BROADCAST, client.mac, own, _EVERYBODY, _message(client, transaction, kind, options, own))


def _unicast(client: Client, transaction: int, kind: Kind, options: Mapping[int, bytes], given: Lease) -> bytes:
    own = given.address.ip
    return _frame(given.server_mac, client.mac, own, given.server, _message(client, transaction, kind, options, own))


def _message(client: Client, transaction: int, kind: Kind, options: Mapping[int, bytes], own: IPv4) -> bytes:
    fixed = _BOOTP.pack(
        1, 1, 6, 0, transaction, 0, 0, own.packed, b"", b"", b"", bytes.fromhex(client.mac.replace(":", "")), b"", b""
    )
    told: dict[int, bytes] = {_KIND: bytes([kind]), _IDENTIFIER: client.identifier, **options}
    if kind in (Kind.DISCOVER, Kind.REQUEST):
        told |= {
            _HOSTNAME: client.hostname.encode()[:63],
            _SIZE: struct.pack("!H", 1500),
            _ASKED: bytes((_MASK, _ROUTER, _SECONDS, _SERVER, _RENEW, _REBIND)),
        }
    listed = b"".join(bytes((code, len(value))) + value for code, value in told.items())
    return (fixed + _MAGIC + listed + bytes([_END])).ljust(_SHORTEST, b"\0")


def _frame(to: str, mac: str, source: IPv4, target: IPv4, message: bytes) -> bytes:
    length = _UDP.size + len(message)
    pseudo = source.packed + target.packed + struct.pack("!BBH", 0, 17, length)
    ports = CLIENT_PORT, SERVER_PORT, length
    udp = _UDP.pack(*ports, _checksum(pseudo + _UDP.pack(*ports, 0) + message) or 0xFFFF)
    header = (0x45, 0, _IP.size + length, 0, 0, 64, 17), (source.packed, target.packed)
    ip = _IP.pack(*header[0], _checksum(_IP.pack(*header[0], 0, *header[1])), *header[1])
    ethernet = bytes.fromhex(to.replace(":", "")) + bytes.fromhex(mac.replace(":", "")) + b"\x08\x00"
    return ethernet + ip + udp + message


def _options(data: bytes) -> dict[int, bytes]:
    """By code; one that comes in parts is put together (RFC 3396). Raises IndexError, ValueError."""
    if data[:4] != _MAGIC:
        raise ValueError("not DHCP")
    found: dict[int, bytes] = {}
    at = 4
    while data[at] != _END:
        if data[at] == _PAD:
            at += 1
            continue
        code, length = data[at], data[at + 1]
        found[code] = found.get(code, b"") + data[at + 2 : at + 2 + length]
        at += 2 + length
    return found


def _address(value: bytes) -> IPv4 | None:
    return IPv4(value) if len(value) == 4 else None


def _number(value: bytes) -> int | None:
    return int.from_bytes(value) if len(value) == 4 else None


def _checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
