"""Services, EndpointSlices and ServiceCIDRs of the cluster: one list and watch of each for all nodes and guests.

Read in the operator's own name: a node's identity may not read all of them. Each begins when the first guest wants it.
Listing and watching is `reflector`'s; of each object nothing is kept but the few bytes that `service_feed` leaves.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from provider import service_feed
from provider.kube.client import KubeObject, path
from provider.kube.reflector import ListClient, Reflector
from provider.service_feed import Key, Kind


class RouteReceiver(Protocol):
    """`guest.routes.RouteTable`."""

    @property
    def wanted(self) -> Mapping[str, asyncio.Event]: ...

    def replace(self, kind: str, values: Mapping[Key, bytes]) -> None: ...

    def change(self, key: Key, value: bytes | None) -> None: ...


@dataclass(frozen=True, slots=True)
class _Stripped:
    """What is kept of an object; `value` None: guests are not told of it."""

    key: Key
    value: bytes | None


@dataclass(frozen=True, slots=True)
class _OfKind:
    """`reflector.Receiver` of one kind."""

    kind: Kind
    routes: RouteReceiver

    def keep(self, thing: KubeObject) -> _Stripped:
        stripped = self.kind.strip(thing)
        return _Stripped(
            service_feed.key(self.kind, thing), None if stripped is None else service_feed.encoded(stripped)
        )

    def listed(self, all_there_are: list[_Stripped]) -> None:
        self.routes.replace(self.kind.name, {each.key: each.value for each in all_there_are if each.value is not None})

    def seen(self, thing: _Stripped) -> None:
        self.routes.change(thing.key, thing.value)

    def gone(self, thing: _Stripped) -> None:
        self.routes.change(thing.key, None)


async def run(client: ListClient, receiver: RouteReceiver) -> None:
    """Until cancelled."""
    async with asyncio.TaskGroup() as group:
        for kind in service_feed.KINDS:
            group.create_task(_follow(client, receiver, kind), name=f"watch {kind.plural}")


async def _follow(client: ListClient, receiver: RouteReceiver, kind: Kind) -> None:
    await receiver.wanted[kind.name].wait()
    routes, place = _OfKind(kind, receiver), path(kind.api_version, kind.plural)
    # A cluster too old for ServiceCIDRs has none.
    await Reflector(client, place, routes.keep, routes, kind.query, optional=True).run()
