"""The Pod's leased address on the clone's own disk, for an agent that restarts and a machine that boots.

No other clone's is ever taken for this one's. How the lease is come by and kept is its neighbour's, `lease`.
"""

import ipaddress
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

from . import files
from .dhcp import Lease
from .identity import Identity
from .pod_network import PodNetwork

log = logging.getLogger(__name__)

FILE = "lease.json"
"""Below `Settings.lib`."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The file's content. `until` is a Unix time; `lost`: why there is none any more."""

    lease: Lease
    until: float
    lost: str = ""


def network(lib: Path, who: Identity) -> PodNetwork:
    """The Pod's network, with the address that this clone has leased before, if its time is not over."""
    kept = load(lib, who.clone_id) if who.pod_network.dhcp else None
    if kept is None or kept.lost or kept.until <= time.time():
        return who.pod_network
    return who.pod_network.leased(kept.lease.address, kept.lease.gateway)


def load(lib: Path, clone_id: str) -> Kept | None:
    """What is kept of this clone's lease; None: nothing, or another clone's."""
    try:
        value = json.loads(files.read(lib / FILE) or "null")
        if value is None or value["cloneId"] != clone_id:
            return None
        lease = Lease(
            ipaddress.IPv4Interface(value["address"]),
            ipaddress.IPv4Address(value["gateway"]) if value["gateway"] else None,
            ipaddress.IPv4Address(value["server"]),
            str(value["serverMac"]),
            int(value["seconds"]),
            int(value["renewAfter"]),
            int(value["rebindAfter"]),
        )
        return Kept(lease, float(value["until"]), str(value["lost"]))
    except (ValueError, KeyError, TypeError):
        log.warning("%s is damaged and ignored", lib / FILE)
        return None


def save(lib: Path, clone_id: str, kept: Kept) -> None:
    """Raises OSError."""
    lease = kept.lease
    value = {
        "cloneId": clone_id,
        "address": str(lease.address),
        "gateway": str(lease.gateway or ""),
        "server": str(lease.server),
        "serverMac": lease.server_mac,
        "seconds": lease.seconds,
        "renewAfter": lease.renew_after,
        "rebindAfter": lease.rebind_after,
        "until": kept.until,
        "lost": kept.lost,
    }
    files.write(lib / FILE, json.dumps(value) + "\n")
