"""A DHCP server in a network namespace that can be told to misbehave; the honest one is dnsmasq."""

import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vch_agent.namespace import Namespace

SERVER = "10.78.0.1"
_DISCOVER, _OFFER, _REQUEST, _DECLINE, _ACK, _NAK, _RELEASE = 1, 2, 3, 4, 5, 6, 7
_HEAD = struct.Struct("!BBBBIHH4s4s4s4s16s192s4s")
_MAGIC = bytes.fromhex("63825363")


class Server:
    """Gives `addresses[0]`; what is declined goes. Everything may be changed while it runs."""

    def __init__(self, addresses: list[str], seconds: int = 3600) -> None:
        self.addresses = addresses
        self.seconds = seconds
        self.timers: tuple[int, int] | None = None
        self.router: str | None = SERVER
        self.silent = False
        self.refusing = ""
        self.heard: list[tuple[int, dict[int, bytes], str]] = []
        """Kind, options and ciaddr of each message."""
        self.came = threading.Condition()

    def wait_for(self, kind: int, times: int = 1) -> tuple[int, dict[int, bytes], str]:
        """The last message of that kind, when there have been so many."""

        def found() -> list[tuple[int, dict[int, bytes], str]]:
            return [each for each in self.heard if each[0] == kind]

        with self.came:
            assert self.came.wait_for(lambda: len(found()) >= times, 30), self.heard
        return found()[-1]

    def kinds(self) -> list[int]:
        return [kind for kind, _, _ in self.heard]

    def answer(self, data: bytes) -> bytes | None:
        fields = _HEAD.unpack_from(data)
        options = _options(data[_HEAD.size :])
        kind = options[53][0]
        with self.came:
            self.heard.append((kind, options, socket.inet_ntoa(fields[7])))
            self.came.notify_all()
        if kind == _DECLINE:
            self.addresses.remove(socket.inet_ntoa(options[50]))
        if self.silent or kind not in (_DISCOVER, _REQUEST):
            return None
        if kind == _REQUEST and self.refusing:
            return self._message(fields, _NAK, "0.0.0.0", {56: self.refusing.encode()})
        t1, t2 = self.timers or (self.seconds // 2, self.seconds * 7 // 8)
        told = {1: bytes((255, 255, 255, 0)), **dict(zip((51, 58, 59), _numbers(self.seconds, t1, t2), strict=True))}
        if self.router:
            told[3] = socket.inet_aton(self.router)
        return self._message(fields, _OFFER if kind == _DISCOVER else _ACK, self.addresses[0], told)

    def _message(self, asked: tuple[Any, ...], kind: int, address: str, told: dict[int, bytes]) -> bytes:
        head = (2, 1, 6, 0, asked[4], 0, 0, bytes(4), socket.inet_aton(address), bytes(4), bytes(4), asked[11])
        options = {53: bytes([kind]), 54: socket.inet_aton(SERVER), **told}
        listed = b"".join(bytes((code, len(value))) + value for code, value in options.items())
        return _HEAD.pack(*head, b"", _MAGIC) + listed + b"\xff"


@contextmanager
def serving(where: Namespace, server: Server, interface: str = "br0") -> Iterator[Server]:
    """It answers there until this ends; always by broadcast."""

    def opened() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_REUSEADDR, socket.SO_BROADCAST):
            made.setsockopt(socket.SOL_SOCKET, option, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
        made.bind(("", 67))
        return made

    wire = where.call(opened)

    stop, stopped = os.pipe()

    def serve() -> None:
        while stop not in select.select([wire.fileno(), stop], [], [])[0]:
            if (answer := server.answer(wire.recv(4096))) is not None:
                wire.sendto(answer, ("255.255.255.255", 68))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        os.close(stopped)
        thread.join(10)
        os.close(stop)
        wire.close()


def _options(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while data[at] != 255:
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found


def _numbers(*values: int) -> Iterator[bytes]:
    for value in values:
        yield struct.pack("!I", value)
