"""What is on the wire: every frame at every port of the laboratory's bridges, while a block runs.

Read from a packet socket in the laboratory's network namespace, outside all guests, so that nothing a guest does can
hide a frame. Only what tests judge is decoded: Ethernet, ARP, IPv4 with ports.
"""

import contextlib
import ipaddress
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from e2e.lab.netns import HARDWARE_ADDRESSES

_EVERY_PROTOCOL = 0x0003
_ARP, _IPV4, _IPV6 = 0x0806, 0x0800, 0x86DD
_BUFFER = 64 << 20
_HEADERS = 256
_NO_PORTS = {"lo", *HARDWARE_ADDRESSES}
"""The bridges' own devices show again what is at a port of theirs."""
_SO_RCVBUFFORCE, _SOL_PACKET, _PACKET_STATISTICS = 33, 263, 6
_LOOK = 0.2
"""Seconds after which the reader looks whether it shall end."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame at one port. `to_guest`: the bridge sends it out of the port; else the guest behind it has sent it."""

    port: str
    to_guest: bool
    source: str  # hardware addresses
    destination: str
    kind: str  # ARP, IPv4, IPv6, or the number of another protocol
    sender: str = ""  # IP addresses; of an ARP the sender's and the target's
    target: str = ""
    protocol: int = 0
    sender_port: int = 0
    target_port: int = 0
    sender_mac: str = ""  # in an ARP's body


@dataclass(slots=True)
class Capture:
    """Grows while it runs; whole and still afterwards."""

    frames: list[Frame] = field(default_factory=list)
    lost: int = 0

    def sent_by(self, mac: str) -> list[Frame]:
        """What came out of a guest with this card."""
        return [frame for frame in self.frames if not frame.to_guest and frame.source == mac.lower()]

    def given_to(self, port: str) -> list[Frame]:
        """What the bridge delivered at a port."""
        return [frame for frame in self.frames if frame.to_guest and frame.port == port]


@contextlib.contextmanager
def running() -> Iterator[Capture]:
    """Captures until the block ends. Call it in the laboratory's network namespace. A lost frame is an error."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        raw.settimeout(_LOOK)
        capture, ended = Capture(), threading.Event()
        reader = threading.Thread(target=_read, args=(raw, capture, ended), daemon=True)
        reader.start()
        try:
            yield capture
        finally:
            ended.set()
            reader.join()
        _, capture.lost = struct.unpack("=II", raw.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        assert not capture.lost, f"{capture.lost} frames were not captured"


def _read(raw: socket.socket, capture: Capture, ended: threading.Event) -> None:
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            _next(raw, capture)
    raw.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:  # what had come by then
            _next(raw, capture)


def _next(raw: socket.socket, capture: Capture) -> None:
    data, (port, _, sort, *_) = raw.recvfrom(_HEADERS)
    if port not in _NO_PORTS and len(data) >= 14:
        capture.frames.append(decode(port, sort == socket.PACKET_OUTGOING, data))


def decode(port: str, to_guest: bool, data: bytes) -> Frame:
    """A frame from its first bytes."""
    destination, source = data[:6].hex(":"), data[6:12].hex(":")
    (number,) = struct.unpack_from("!H", data, 12)
    body = data[14:]
    head = (port, to_guest, source, destination)
    if number == _ARP and len(body) >= 28:
        sender, target = (str(ipaddress.ip_address(body[at : at + 4])) for at in (14, 24))
        return Frame(*head, "ARP", sender, target, sender_mac=body[8:14].hex(":"))
    if number == _IPV4 and len(body) >= 20:
        sender, target = (str(ipaddress.ip_address(body[at : at + 4])) for at in (12, 16))
        protocol, length = body[9], (body[0] & 0xF) * 4
        ports = struct.unpack_from("!HH", body, length) if protocol in (6, 17, 132) and len(body) >= length + 4 else ()
        return Frame(*head, "IPv4", sender, target, protocol, *ports)
    if number == _IPV6 and len(body) >= 40:
        sender, target = (str(ipaddress.ip_address(body[at : at + 16])) for at in (8, 24))
        return Frame(*head, "IPv6", sender, target, body[6])
    return Frame(*head, f"0x{number:04x}")
