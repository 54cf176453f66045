"""What a clone is told of its Pod's network (`podNetwork` of `guestinfo.vch.identity`), parsed. Pure.

Every error names the field. What is made of it is `gateway`'s business.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from . import checked
from .netlink import Address, Interface

_AT = "identity.podNetwork"


class Isolation(StrEnum):
    """Which other pods' machines are neighbours."""

    POD = "Pod"
    """None: all goes by way of the gateway, and nobody else is ever asked for."""
    NAMESPACE = "Namespace"
    NONE = "None"


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses from the first to the last."""

    first: Address
    last: Address

    def contains(self, address: Address) -> bool:
        """One of another family is in none."""
        return address.version == self.first.version and int(self.first) <= int(address) <= int(self.last)

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """The Pod's place in its network. Raised errors name the field that is wrong."""

    addresses: tuple[Interface, ...]
    """The first is the primary; one of each family at most. None as long as a DHCP server has given none."""
    gateways: tuple[Address, ...]
    """One of each family at most."""
    isolation: Isolation
    denied: tuple[Range, ...]
    """What the Pod must not reach; in order, apart from each other."""
    dhcp: bool = False
    """The address and the gateway come from a DHCP server of the network."""

    @classmethod
    def parse(cls, value: Any) -> "PodNetwork":
        """From the decoded member. Raises ValueError."""
        if not isinstance(value, dict):
            raise ValueError(f"{_AT}: an object is required")
        dhcp = value.get("dhcp", False)
        if not isinstance(dhcp, bool):
            raise ValueError(f"{_AT}.dhcp: true or false is required")
        addresses = tuple(_each(value, "addresses", ipaddress.ip_interface))
        if not addresses and not dhcp:
            raise ValueError(f"{_AT}.addresses: at least one is required")
        gateways = tuple(_each(value, "gateways", ipaddress.ip_address))
        if dhcp and (addresses or gateways):
            raise ValueError(f"{_AT}.dhcp: addresses and gateways are the DHCP server's to give")
        families = _families("addresses", addresses)
        for gateway in gateways:
            if gateway.version not in families:
                raise ValueError(f"{_AT}.gateways: {gateway} is of a family that the Pod has no address of")
        _families("gateways", gateways)
        return cls(
            addresses=addresses,
            gateways=gateways,
            isolation=_isolation(value.get("isolation")),
            denied=tuple(merged(_each(value, "denied", _range))),
            dhcp=dhcp,
        )

    def leased(self, address: ipaddress.IPv4Interface, gateway: ipaddress.IPv4Address | None) -> "PodNetwork":
        """With what a DHCP server has given."""
        return replace(self, addresses=(address,), gateways=(gateway,) if gateway else ())

    def address(self, version: int) -> Interface | None:
        """Of that family, 4 or 6."""
        return next((address for address in self.addresses if address.version == version), None)

    def gateway(self, version: int) -> Address | None:
        """Of that family, 4 or 6."""
        return next((gateway for gateway in self.gateways if gateway.version == version), None)


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same addresses in ranges that neither meet nor touch, in order; IPv4 first."""
    found: list[Range] = []
    for each in sorted(ranges, key=lambda each: (each.first.version, int(each.first))):
        before = found[-1] if found else None
        if before is not None and before.last.version == each.first.version and int(each.first) <= int(before.last) + 1:
            found[-1] = Range(before.first, max(before.last, each.last, key=int))
        else:
            found.append(each)
    return found


def _range(text: str) -> Range:
    first, dash, last = text.partition("-")
    if not dash:
        network = ipaddress.ip_network(text, strict=False)
        return Range(network[0], network[-1])
    found = Range(ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip()))
    if found.first.version != found.last.version or int(found.first) > int(found.last):
        raise ValueError(f"{text!r} does not lead from a first address to a last")
    return found


def _each(value: dict[str, Any], field: str, parsed: Any) -> list[Any]:
    told = checked.listed(value.get(field), f"{_AT}.{field}")
    return [checked.address(each, f"{_AT}.{field}[{number}]", parsed) for number, each in enumerate(told)]


def _families(field: str, values: Iterable[Any]) -> set[int]:
    found: set[int] = set()
    for value in values:
        if value.version in found:
            raise ValueError(f"{_AT}.{field}: more than one of IPv{value.version}")
        found.add(value.version)
    return found


def _isolation(told: Any) -> Isolation:
    if told not in list(Isolation):
        raise ValueError(f"{_AT}.isolation: one of {', '.join(Isolation)} is required")
    return Isolation(told)
