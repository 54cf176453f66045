"""The Pod's address as a DHCP server's lease: obtained, told to the provider, kept, given back.

The address is part of what the Pod is. A server that does not answer is asked again until the lease's time is over;
then, or when a server refuses or gives another address, the card is cut off, since the address may be somebody else's,
and the provider ends the Pod. The provider has to agree to an address before it is the Pod's (`reportLease`), and is
told again at each connect. `kept_lease` remembers it.

The messages are `dhcp`'s, sent by `dhcp_client`; who makes interfaces of it is `gateway`.
"""

import asyncio
import contextlib
import logging
import random
import time
from typing import Any

from . import dhcp, kept_lease
from .dhcp import Lease
from .dhcp_client import DHCPClient, NoAnswer, Refused, Taken
from .gateway import Gateway
from .identity import Identity
from .kept_lease import Kept
from .relay import Relay, Unavailable, Verb
from .settings import Settings

log = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 1.0, 60.0
_SOON = 1.0
_OFTENEST = 60.0
"""Seconds between two tries to renew (RFC 2131, 4.4.5); less where the whole lease is short."""


class AddressLost(Exception):
    """The Pod has no address any more; the message says why."""


class PodLease:
    """One clone's. Does nothing until `keep`."""

    def __init__(self, settings: Settings, gateway: Gateway, relay: Relay) -> None:
        self._lib = settings.lib
        self._gateway = gateway
        self._relay = relay
        self._client: DHCPClient | None = None
        self._lease: Lease | None = None
        self._keeping: asyncio.Task[Any] | None = None
        self._said: dict[str, Any] | None = None
        self._tell = asyncio.Event()
        self._who: Identity | None = None
        self._bound = asyncio.Event()
        relay.on_attach.append(self._tell.set)

    def of(self, who: Identity) -> None:
        """Whose it is: a standby clone has no Pod yet."""
        self._who = who
        if who.uid:
            self._bound.set()

    async def keep(self) -> None:
        """Have the lease and keep it, from when there is a Pod until cancelled or released. Raises OSError."""
        await self._bound.wait()
        assert self._who is not None
        who = self._who
        telling = asyncio.create_task(self._telling(who))
        self._keeping = asyncio.current_task()
        try:
            await self._live(who)
        finally:
            telling.cancel()

    async def release(self) -> None:
        """The Pod has ended: its address is the server's again. Idempotent; what fails is logged."""
        lease, self._lease = self._lease, None
        if lease is None or self._client is None:
            return
        if self._keeping is not None:
            self._keeping.cancel()
        try:
            (self._lib / kept_lease.FILE).unlink(missing_ok=True)
            self._client.release(lease)
            await self._gateway.cut()
        except OSError as error:
            log.warning("%s is not given back: %s", lease.address, error)
        else:
            log.info("%s is given back to the DHCP server %s", lease.address, lease.server)

    async def _live(self, who: Identity) -> None:
        kept = kept_lease.load(self._lib, who.clone_id)
        try:
            if kept is not None and kept.lost:
                raise AddressLost(kept.lost)
            self._client = client = await self._gateway.dhcp_client(b"\0" + who.clone_id.encode(), who.hostname)
            if kept is None:
                lease, until = await self._obtained(client, who)
            else:
                lease, until = await self._resumed(client, kept)
                await self._gateway.configure(who.pod_network.leased(lease.address, lease.gateway), None)
            while True:
                self._lease = lease
                kept_lease.save(self._lib, who.clone_id, Kept(lease, time.time() + until - _now()))
                self._say({"addresses": [str(lease.address)], "ready": True})
                lease, until = await self._extended(client, lease, until)
        except AddressLost as error:
            log.error("the Pod's address is lost: %s", error)
            self._say({"reason": "AddressLost", "message": str(error)})
            had = self._lease or (kept.lease if kept else None)
            if had is not None:
                kept_lease.save(self._lib, who.clone_id, Kept(had, 0.0, str(error)))
            self._lease = None
            await self._gateway.cut()
            await asyncio.Event().wait()  # the provider is told again

    async def _obtained(self, client: DHCPClient, who: Identity) -> tuple[Lease, float]:
        """The first one, to which the provider has agreed; the card has it."""
        wait = _FIRST_RETRY
        while True:
            asked = _now()
            try:
                lease = await client.obtain()
                refusal = await self._answer(who, {"addresses": [str(lease.address)], "ready": False})
                if not refusal:
                    await self._gateway.configure(who.pod_network.leased(lease.address, lease.gateway), None)
                    return lease, asked + lease.seconds
                log.error("the provider does not agree to %s: %s", lease.address, refusal)
                client.decline(lease)
            except (NoAnswer, Refused, Taken, OSError) as error:
                log.error("no lease: %s", error)
                self._say({"reason": "NoLease", "message": str(error)})
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
            wait = min(wait * 2, _LAST_RETRY)

    async def _resumed(self, client: DHCPClient, kept: Kept) -> tuple[Lease, float]:
        """The one of before a restart. Raises AddressLost."""
        lease, asked = kept.lease, _now()
        until = asked + min(kept.until - time.time(), lease.seconds)
        self._lease = lease
        try:
            lease = _same(lease, await client.confirm(lease))
        except (NoAnswer, OSError) as error:
            if until <= _now():
                raise AddressLost(f"its time was over when the machine came back, and {error}") from error
            log.warning("%s is kept: %s", lease.address, error)
            return lease, until
        except Refused as error:
            raise AddressLost(str(error)) from error
        return lease, asked + lease.seconds

    async def _extended(self, client: DHCPClient, lease: Lease, until: float) -> tuple[Lease, float]:
        """More time for it, when that is due. Raises AddressLost."""
        if dhcp.endless(lease):
            await asyncio.Event().wait()
        given = until - lease.seconds
        await asyncio.sleep(given + lease.renew_after - _now())
        while (asked := _now()) < until:
            anywhere = asked >= given + lease.rebind_after
            try:
                async with asyncio.timeout(until - asked):
                    longer = await client.extend(lease, anywhere=anywhere)
            except Refused as error:
                raise AddressLost(str(error)) from error
            except (NoAnswer, OSError) as error:  # TimeoutError is among them
                log.warning("%s is not renewed yet: %s", lease.address, error)
            else:
                return _same(lease, longer), asked + longer.seconds
            left = (until if anywhere else given + lease.rebind_after) - _now()
            wait = max(left / 2, min(_OFTENEST, lease.seconds / 32))
            await asyncio.sleep(min(wait, until - _now()))
        raise AddressLost(f"no DHCP server renewed {lease.address.ip} within its {lease.seconds} s")

    def _say(self, body: dict[str, Any]) -> None:
        """To the provider, now and at each connect."""
        self._said = body
        self._tell.set()

    async def _telling(self, who: Identity) -> None:
        while True:
            await self._tell.wait()
            self._tell.clear()
            if (said := self._said) is not None and (refusal := await self._answer(who, said)):
                log.error("the provider does not agree to %s: %s", said, refusal)

    async def _answer(self, who: Identity, body: dict[str, Any]) -> str:
        """Why the provider does not agree; "" if it does. Waits for it."""
        while True:
            with contextlib.suppress(Unavailable):
                code, value = await self._relay.request(Verb.REPORT_LEASE, who.namespace, who.name, "", body)
                if code == 200:
                    return ""
                if code not in (429, 503):
                    return str(value.get("message") if isinstance(value, dict) else value)
                await asyncio.sleep(_SOON)


def _same(lease: Lease, longer: Lease) -> Lease:
    """Raises AddressLost if it is of another address; a server's other news is nothing for a Pod that runs."""
    if longer.address.ip != lease.address.ip:
        raise AddressLost(f"the DHCP server {longer.server} gave {longer.address.ip} in place of {lease.address.ip}")
    return longer


def _now() -> float:
    """Also goes on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
