"""Whether what every Pod needs of the cluster is reached from this Pod's network: its API server and its DNS.

Tried from the gateway namespace with the Pod's own address, since this card is the only place that sees the network; no
workload has a part in it. Tried once the Pod is known, when what is to be tried becomes another, and, while something
fails, again at growing distances: what is reached is not asked again. The provider is told what failed, by the relay,
also at each new connection, since it keeps nothing; what it makes of it is `provider.reachability`. IPv4 only: for a
Pod without, nothing is tried.
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .pod_network import PodNetwork, Range
from .relay import Relay, Unavailable, Verb
from .resources import ENDPOINT_SLICES, SERVICES
from .service_routes import ServiceRoutes
from .setup import DNS
from .store import Object

log = logging.getLogger(__name__)

_WITHIN = 5.0
"""Seconds for an answer; what a resolver of a Pod waits, too (`timeout` of resolv.conf)."""
_FIRST_AGAIN, _LAST_AGAIN = 1.0, 300.0
_SURE = 2
"""Attempts that fail before it is told: kube-proxy may have to write its first rules yet."""
_DNS_PORT = 53
_MOST = 16
"""API servers that are tried."""

OpenSocket = Callable[[socket.SocketKind], socket.socket]


class What(StrEnum):
    """What is tried."""

    API_SERVER = "APIServer"
    CLUSTER_DNS = "ClusterDNS"


@dataclass(frozen=True, slots=True)
class Target:
    """One address that has to answer."""

    what: What
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Failure:
    """One that did not, and why."""

    target: Target
    why: str

    def told(self) -> dict[str, Any]:
        return {"what": self.target.what, "address": self.target.address, "port": self.target.port, "why": self.why}


def targets(network: PodNetwork, dns: DNS, service: Object | None, slice_: Object | None) -> tuple[Target, ...]:
    """What is to be tried, IPv4. `service`, `slice_`: `kubernetes`, as far as they are known. Pure.

    Endpoints if we know them, since one of several that is out of reach fails now and then only; else (who routes
    Services is outside of the guest) the Service's address.
    """
    if network.address(4) is None:
        return ()
    servers = [Target(What.CLUSTER_DNS, server, _DNS_PORT) for server in dns.servers]
    found: list[tuple[str, int]] = []
    if slice_ is not None:
        ports = [port["port"] for port in slice_.get("ports") or () if port.get("port")]
        addresses = [address for each in slice_.get("endpoints") or () for address in each.get("addresses") or ()]
        found = [(address, port) for address in addresses for port in ports]
    elif service is not None and service["spec"].get("clusterIP"):
        found = [(service["spec"]["clusterIP"], port["port"]) for port in service["spec"].get("ports") or ()]
    api = [Target(What.API_SERVER, address, port) for address, port in sorted(found)[:_MOST]]
    return tuple(each for each in (*servers, *api) if _ipv4(each.address))


async def attempt(target: Target, open_socket: OpenSocket, name: str, denied: Iterable[Range] = ()) -> str:
    """Why the target does not answer; empty: it does. `name`: a DNS name to ask for; `denied`: what no Pod reaches.

    (What a Service's address leads to is looked at by the firewall: it gets no answer.)
    """
    if any(each.contains(ipaddress.ip_address(target.address)) for each in denied):
        return "Denied"
    kind = socket.SOCK_STREAM if target.what is What.API_SERVER else socket.SOCK_DGRAM
    try:
        with contextlib.closing(open_socket(kind)) as opened:
            async with asyncio.timeout(_WITHIN):
                await asyncio.get_running_loop().sock_connect(opened, (target.address, target.port))
                if kind is socket.SOCK_DGRAM:
                    await _ask(opened, name)
    except TimeoutError:
        return "Timeout"
    except ConnectionRefusedError:
        return "Refused"
    except OSError as error:
        return "Unreachable" if error.errno in _UNREACHABLE else f"Error{error.errno}"
    return ""


class Reachability:
    """Of one clone."""

    def __init__(self, routes: ServiceRoutes, relay: Relay) -> None:
        self._routes = routes
        self._relay = relay
        self._wake = asyncio.Event()
        self._tried: tuple[Target, ...] = ()
        self._failures: tuple[Failure, ...] = ()
        self._attempts = 0
        self._again = 0.0  # at which instant; while something fails
        self._told: object = None
        routes.changed = self.wake
        relay.on_attach.append(self.wake)

    def wake(self) -> None:
        """Something may be another: what is to be tried, or whom to tell."""
        self._wake.set()

    async def keep(self, dns: DNS, network: PodNetwork, open_socket: OpenSocket, pod: tuple[str, str]) -> None:
        """Try and tell, until cancelled, once the Pod is known. `pod`: its namespace and name."""
        if network.address(4) is None:
            return
        await self._routes.known.wait()
        while True:
            self._wake.clear()
            await self._try(self._wanted(network, dns), dns, network, open_socket)
            await self._tell(*pod)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._again if self._failures else None):
                    await self._wake.wait()

    def _wanted(self, network: PodNetwork, dns: DNS) -> tuple[Target, ...]:
        service = self._routes.store.get(SERVICES, "default", "kubernetes")
        # The API server's own reconciler gives the slice the Service's name. None come where kube-proxy does not run.
        return targets(network, dns, service, self._routes.store.get(ENDPOINT_SLICES, "default", "kubernetes"))

    async def _try(self, wanted: tuple[Target, ...], dns: DNS, network: PodNetwork, open_socket: OpenSocket) -> None:
        now = asyncio.get_running_loop().time
        if wanted == self._tried and not (self._failures and now() >= self._again):
            return
        self._attempts = self._attempts + 1 if wanted == self._tried else 1
        name = f"kubernetes.default.svc.{dns.domain}" if dns.domain else "kubernetes.default"
        whys = await asyncio.gather(*(attempt(each, open_socket, name, network.denied) for each in wanted))
        self._tried = wanted
        self._failures = tuple(Failure(each, why) for each, why in zip(wanted, whys, strict=True) if why)
        self._again = now() + min(_FIRST_AGAIN * 2 ** min(self._attempts - 1, 16), _LAST_AGAIN)
        if self._attempts == _SURE and self._failures:
            log.warning("not reached from the Pod's network: %s", _listed(self._failures))

    async def _tell(self, namespace: str, name: str) -> None:
        if not self._tried or (self._failures and self._attempts < _SURE):
            return
        telling = (self._relay.connection, self._tried, self._failures)
        if telling == self._told:
            return
        body = {"tried": len(self._tried), "failures": [failure.told() for failure in self._failures]}
        try:
            await self._relay.request(Verb.REPORT_REACHABILITY, namespace, name, "", body)
        except Unavailable:
            return  # who connects next is told
        self._told = telling


async def _ask(opened: socket.socket, name: str) -> None:
    """Any answer to the question will do."""
    loop = asyncio.get_running_loop()
    question = query(name)
    receiving = asyncio.ensure_future(loop.sock_recv(opened, 512))
    try:
        while not receiving.done() or receiving.result()[:2] != question[:2]:
            if receiving.done():
                receiving = asyncio.ensure_future(loop.sock_recv(opened, 512))
            await loop.sock_sendall(opened, question)
            await asyncio.wait([receiving], timeout=_WITHIN / 3)  # datagrams get lost
    finally:
        receiving.cancel()
        await asyncio.wait([receiving])  # or the loop would still look at a descriptor that is somebody else's by then


def query(name: str) -> bytes:
    """A DNS message that asks for the IPv4 address of a name (RFC 1035, 4.1). Pure, but for its number."""
    header = os.urandom(2) + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label)
    return header + labels + b"\0" + struct.pack("!HH", 1, 1)


_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM})


def _ipv4(address: str) -> bool:
    return ipaddress.ip_address(address).version == 4


def _listed(failures: Iterable[Failure]) -> str:
    return ", ".join(f"{each.target.what} {each.target.address}:{each.target.port} ({each.why})" for each in failures)
