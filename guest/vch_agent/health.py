"""Whether the parent is warm: everything a clone would otherwise have to wait for has happened.

Plain HTTP and a unix socket only: the parent must not hold TLS state when it freezes.
"""

import asyncio
import contextlib
from dataclasses import dataclass

from .settings import Settings

_WITHIN = 30.0  # a guest without KVM is slow


@dataclass(frozen=True, slots=True)
class Warmth:
    """What is known of the guest's services; falsy parts are what to wait for."""

    containerd: bool
    kubelet: bool
    node_ready: bool
    """The kubelet called its own node Ready: runtime and PLEG are up."""
    pods_watched: bool
    """The kubelet has listed its (no) pods and waits for one."""
    services_watched: bool
    """kube-proxy has listed (no) Services and waits for some; or there is no kube-proxy here."""

    @property
    def complete(self) -> bool:
        return all(getattr(self, name) for name in self.__slots__)

    def __str__(self) -> str:
        waiting = [name for name in self.__slots__ if not getattr(self, name)]
        return f"waiting for {', '.join(waiting)}" if waiting else "warm"


async def containerd_up(settings: Settings) -> bool:
    """Whether containerd accepts connections."""
    try:
        async with asyncio.timeout(_WITHIN):
            _, writer = await asyncio.open_unix_connection(settings.containerd_socket)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def kubelet_healthy(settings: Settings) -> bool:
    """Whether the kubelet's /healthz says so."""
    try:
        async with asyncio.timeout(_WITHIN):
            reader, writer = await asyncio.open_connection("127.0.0.1", settings.kubelet_healthz_port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            line = await reader.readline()
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return line.split(b" ")[1:2] == [b"200"]
