"""One exchange with DHCP servers at a time, by frames on the Pod's card: an address is asked for, kept, given back.

A raw socket in the gateway namespace, open for as long as an exchange lasts: the card has no address at first, and what
comes for the Pod's address later goes to the Pod. When to ask for what is `lease`'s business, what is said `dhcp`'s.
"""

import asyncio
import ctypes
import logging
import secrets
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from . import arp_probe, dhcp
from .dhcp import Client, Kind, Lease, Message
from .namespace import Namespace
from .netlink import Link

log = logging.getLogger(__name__)

_WAITS = (1.0, 2.0, 4.0)
"""Seconds for an answer, to each of the times that a thing is asked."""
_ETH_IP = 0x0800
_SO_ATTACH_FILTER = 26  # include/uapi/asm-generic/socket.h

_FILTER = (
    (0x28, 0, 0, 12),  # EtherType
    (0x15, 0, 8, _ETH_IP),
    (0x30, 0, 0, 23),  # protocol
    (0x15, 0, 6, socket.IPPROTO_UDP),
    (0x28, 0, 0, 20),  # a later fragment has no ports
    (0x45, 4, 0, 0x1FFF),
    (0xB1, 0, 0, 14),  # the header's length
    (0x48, 0, 0, 16),  # the port that it is for
    (0x15, 0, 1, dhcp.CLIENT_PORT),
    (0x06, 0, 0, 0xFFFF),
    (0x06, 0, 0, 0),
)
"""Classic BPF: what is no DHCP server's message never wakes the agent, whatever the Pod receives."""


class NoAnswer(Exception):
    """No server has answered, or none to any use; the message says what was tried."""


class Refused(Exception):
    """A server has said no; the message has its words."""


class Taken(Exception):
    """Somebody else has the address that a server gave."""


class DHCPClient:
    """The Pod's card as a DHCP client; `link` is in that namespace and connected."""

    def __init__(self, namespace: Namespace, link: Link, client: Client) -> None:
        self._namespace = namespace
        self._link = link
        self._client = client

    async def obtain(self) -> Lease:
        """An address that nobody has. Raises NoAnswer, Refused, Taken (having declined), OSError."""
        with self._opened() as wire:
            transaction = secrets.randbits(32)
            offer = await self._ask(
                wire, dhcp.discover(self._client, transaction), transaction, "DISCOVER", lambda m: m.kind is Kind.OFFER
            )
            if offer.server is None:
                raise NoAnswer("a DHCP server's offer does not name the server")
            lease = await self._granted(
                wire, dhcp.request(self._client, transaction, offer), transaction, "REQUEST", offer.server
            )
        taken = await arp_probe.taken_by(self._namespace, self._link, lease.address.ip.packed, but=lease.server_mac)
        if taken is not None:
            self.decline(lease)
            raise Taken(f"the DHCP server {lease.server} gave {lease.address.ip}, which the card {taken} has already")
        return lease

    async def confirm(self, lease: Lease) -> Lease:
        """Whether it still holds, after a restart. Raises NoAnswer, Refused, OSError."""
        with self._opened() as wire:
            transaction = secrets.randbits(32)
            frame = dhcp.confirm(self._client, transaction, lease.address.ip)
            return await self._granted(wire, frame, transaction, "REQUEST", lease.server)

    async def extend(self, lease: Lease, *, anywhere: bool) -> Lease:
        """More time, of the server that gave it or `anywhere`. Raises NoAnswer, Refused, OSError."""
        with self._opened() as wire:
            transaction = secrets.randbits(32)
            made = dhcp.rebind if anywhere else dhcp.renew
            server = None if anywhere else lease.server
            return await self._granted(wire, made(self._client, transaction, lease), transaction, "REQUEST", server)

    def decline(self, lease: Lease) -> None:
        """Tell the server that the address is of no use. Raises OSError."""
        with self._opened() as wire:
            wire.send(dhcp.decline(self._client, secrets.randbits(32), lease))

    def release(self, lease: Lease) -> None:
        """Tell the server that the address is free. Raises OSError."""
        with self._opened() as wire:
            wire.send(dhcp.release(self._client, secrets.randbits(32), lease))

    async def _granted(
        self, wire: socket.socket, frame: bytes, transaction: int, what: str, server: dhcp.IPv4 | None
    ) -> Lease:
        """`server` None: any may answer."""

        def answers(message: Message) -> bool:
            return message.kind in (Kind.ACK, Kind.NAK) and server in (None, message.server)

        answer = await self._ask(wire, frame, transaction, what, answers)
        if answer.kind is Kind.NAK:
            raise Refused(f"the DHCP server {answer.server} refused: {answer.text or 'no reason given'}")
        try:
            return dhcp.lease(answer)
        except ValueError as error:
            raise NoAnswer(f"the DHCP server {answer.server} answered what cannot be used: {error}") from error

    async def _ask(
        self, wire: socket.socket, frame: bytes, transaction: int, what: str, wanted: Callable[[Message], bool]
    ) -> Message:
        loop = asyncio.get_running_loop()
        for wait in _WAITS:
            await loop.sock_sendall(wire, frame)
            try:
                async with asyncio.timeout(wait):
                    while True:
                        message = dhcp.parse(await loop.sock_recv(wire, 2048))
                        ours = transaction, self._client.mac
                        if message and (message.transaction, message.mac) == ours and wanted(message):
                            return message
            except TimeoutError:
                continue
        raise NoAnswer(
            f"no DHCP server answered {len(_WAITS)} {what}s of the card {self._client.mac} within {sum(_WAITS):.0f} s"
        )

    @contextmanager
    def _opened(self) -> Iterator[socket.socket]:
        code = b"".join(struct.pack("=HBBI", *each) for each in _FILTER)
        program = ctypes.create_string_buffer(code, len(code))

        def made() -> socket.socket:
            wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)  # hears nothing yet
            told = struct.pack("@HP", len(_FILTER), ctypes.addressof(program))
            wire.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, told)
            wire.setblocking(False)
            wire.bind((self._link.name, _ETH_IP))
            return wire

        with self._namespace.call(made) as wire:
            yield wire
