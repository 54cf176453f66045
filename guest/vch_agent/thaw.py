"""After the freeze, or at the boot of a clone: become the machine that the identity names.

In this order, because each step needs the ones before: random numbers, clock (`first`, before any key is made or any
time is told), then names, network cards and certificate (`settle_in`, side by side). `Machine` gathers every effect on
the machine, so that tests can watch the order.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import clock, entropy, guestinfo, kept_lease, keys, names, nic
from .gateway import Gateway
from .guestinfo import GuestInfo
from .identity import Identity
from .keys import ServingKey
from .nic import Cards
from .pki import Waiting
from .settings import Platform, Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the thaw does to the machine."""

    reseed: Callable[[bytes], None] = entropy.reseed
    step_clock: Callable[..., float] = clock.step
    adopt_names: Callable[[Identity, Path], None] = names.adopt
    rebind_nic: Callable[[Path], bool] = nic.rebind_vmxnet3
    configure_nic: Callable[..., Awaitable[Any]] = nic.configure
    keep_announced: Callable[..., Awaitable[None]] = nic.keep_announced
    gateway: Callable[[Settings], Gateway] = Gateway


def first(machine: Machine, settings: Settings, identity: Identity, *, restarted: bool) -> None:
    """Random numbers, then the clock. Raises OSError.

    After a restart of the agent alone the identity's time is long past and its seed used: nothing is done.
    """
    if not restarted:
        renew(machine, settings, identity.seed, identity.time)


def renew(machine: Machine, settings: Settings, seed: bytes, time: float) -> None:
    """Random numbers, then the clock, of whoever goes on from a freeze. Raises OSError."""
    try:
        machine.reseed(seed)
    except PermissionError:
        if settings.platform is not Platform.NATIVE:
            raise  # a clone whose random numbers are its siblings' must not go on
        log.warning("the random pool is the host's and not ours to reseed")
    if settings.platform is Platform.VM:
        # Forward only: at a later boot the told time is the past, and the machine's own clock is right.
        by = machine.step_clock(time, forward_only=True)
        log.info("clock stepped by %.3f s", by)


async def settle_in(
    machine: Machine,
    settings: Settings,
    hypervisor: GuestInfo,
    identity: Identity,
    gateway: Gateway,
    *,
    thawed: bool,
    waiting: Waiting | None = None,
) -> ServingKey:
    """Names, both networks and key. Raises OSError, NoInterface (OneCard), ForeignDisk, ProgramFailed."""
    making = asyncio.create_task(keys.obtain(settings.openssl, settings.lib, identity, waiting))
    try:
        machine.adopt_names(identity, settings.etc)
        log.info("host name is %s", identity.hostname)
        mac, pods_mac = await asyncio.gather(hypervisor.get(guestinfo.MAC), hypervisor.get(guestinfo.POD_MAC))
        if mac is None and thawed:
            machine.rebind_nic(settings.root)
        await machine.configure_nic(identity.address, identity.gateway, mac, Cards(settings.nic, settings.pod_nic))
        log.info("network card has %s", identity.address)
        await gateway.configure(kept_lease.network(settings.lib, identity), pods_mac)
        key = await making
        log.info("key is made")
        return key
    finally:
        making.cancel()
