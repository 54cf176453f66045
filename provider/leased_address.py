"""What a guest says of the address that its Pod has leased (`spec.podNetwork.ipam: DHCP`): read and judged. Pure.

The agent leases it out of the workload's reach and tells it over the pinned connection, before the Pod is fed. It is
judged all the same: a DHCP server can be wrong, and a Pod's address decides whom NetworkPolicies and Services mean.
Not what the guest's kubelet reports: addresses in that are never looked at (`relay`).
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

from provider import errors, pod_network
from provider.api.vch import VirtualContainerHostSpec
from provider.feed import KubeObject
from provider.relay import RelayRefused

VERB = "reportLease"
NO_LEASE, ADDRESS_LOST = "NoLease", "AddressLost"
_WORDS = 300  # characters


@dataclass(frozen=True, slots=True)
class Told:
    """What an agent says. Either there is an address, or a reason why there is none (any more)."""

    address: ipaddress.IPv4Interface | None = None
    ready: bool = False  # the guest's network has it: the Pod may come
    reason: str = ""
    message: str = ""


def read(body: KubeObject) -> Told:
    """Raises RelayRefused."""
    reason, message = body.get("reason", ""), body.get("message", "")
    if reason:
        if reason not in (NO_LEASE, ADDRESS_LOST) or not isinstance(message, str):
            raise RelayRefused(f"a lease with the reason {str(reason)[:_WORDS]!r}")
        return Told(reason=reason, message=message[:_WORDS])
    addresses = body.get("addresses")
    if not isinstance(addresses, list) or len(addresses) != 1 or not isinstance(addresses[0], str):
        raise RelayRefused("a lease that is not of one address")
    try:
        return Told(ipaddress.IPv4Interface(addresses[0]), body.get("ready") is True)
    except ValueError as error:
        raise RelayRefused("a lease of what is no IPv4 address") from error


def judge(told: ipaddress.IPv4Interface, spec: VirtualContainerHostSpec, node: str, taken: Mapping[str, str]) -> None:
    """Whether a Pod of this VCH may have it. `node`: its node's address; `taken`: addresses, each with whose
    it is. Raises AddressRefused.
    """
    address, network = told.ip, told.network
    if not told.network.prefixlen or address.is_multicast or address.is_loopback or address.is_link_local:
        raise errors.AddressRefused(f"{told} is no machine's address")
    if address.is_unspecified or address.is_reserved:
        raise errors.AddressRefused(f"{told} is no machine's address")
    if str(address) == node:
        raise errors.AddressRefused(f"{address} is the node's: take it out of the DHCP server's range")
    for ours in pod_network.management_networks(spec, node):
        if network.overlaps(ours):
            # No Pod may reach the management network, so it would not reach its own gateway either.
            raise errors.AddressRefused(
                f"{told} meets the management network {ours}: spec.podNetwork.portGroup has to be of another network"
            )
    if (holder := taken.get(str(address))) is not None:
        raise errors.AddressRefused(f"{address} is {holder}'s: two DHCP servers, or one and a fixed address?")


def no_lease(spec: VirtualContainerHostSpec, message: str) -> errors.NoLease:
    """Why the Pod has no address yet, for its owner; names the network."""
    port_group = spec.pod_network.port_group if spec.pod_network else ""
    where = f"port group {port_group}" if port_group else "the network of the template's second card"
    return errors.NoLease(f"{where}: {message}")


class Leases:
    """Which Pod of one virtual node has which leased address: no two may have one."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, str]] = {}  # address and the Pod's name, by UID

    def taken(self, uid: str) -> dict[str, str]:
        """Those of all others, each with whose it is."""
        return {address: f"Pod {name}" for holder, (address, name) in self._held.items() if holder != uid}

    def keep(self, uid: str, name: str, address: str) -> None:
        """It has this one, and no other."""
        self._held[uid] = (address, name)

    def release(self, uid: str) -> None:
        """Idempotent."""
        self._held.pop(uid, None)
