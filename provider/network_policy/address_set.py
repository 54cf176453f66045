"""Sets of IP addresses as disjoint ranges: equal sets are equal values, whatever they were put together from. Pure.

The same shape as nftables' interval sets. An `except` of an ipBlock is subtracted here, so nobody after this module
knows of exceptions.
"""

import ipaddress
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Ranges = tuple[tuple[int, int], ...]
"""First and last address, both included; ascending, and neither overlapping nor adjacent."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LAST4, _LAST6 = (1 << 32) - 1, (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class AddressSet:
    """Addresses of both families."""

    v4: Ranges = ()
    v6: Ranges = ()

    @classmethod
    def of(cls, addresses: Iterable[Address]) -> "AddressSet":
        """Single addresses."""
        given = list(addresses)
        return cls(
            _merged((int(address), int(address)) for address in given if address.version == 4),
            _merged((int(address), int(address)) for address in given if address.version == 6),
        )

    @classmethod
    def block(cls, cidr: str, exceptions: Iterable[str] = ()) -> "AddressSet":
        """An ipBlock. Raises ValueError for what is no CIDR."""
        network = ipaddress.ip_network(cidr, strict=False)
        ranges = ((int(network.network_address), int(network.broadcast_address)),)
        whole = cls(v4=ranges) if network.version == 4 else cls(v6=ranges)
        return whole.minus(union(cls.block(exception) for exception in exceptions))

    def __bool__(self) -> bool:
        return bool(self.v4 or self.v6)

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, Address):
            return False
        ranges = self.v4 if address.version == 4 else self.v6
        at = bisect_right(ranges, int(address), key=lambda each: each[0]) - 1
        return at >= 0 and int(address) <= ranges[at][1]

    def minus(self, other: "AddressSet") -> "AddressSet":
        """What is in this one only."""
        return AddressSet(_minus(self.v4, other.v4), _minus(self.v6, other.v6))

    def overlap(self, other: "AddressSet") -> "AddressSet":
        """What is in both."""
        return AddressSet(_overlap(self.v4, other.v4), _overlap(self.v6, other.v6))

    def __str__(self) -> str:
        return ", ".join(self.texts()) or "nobody"

    def texts(self) -> Iterator[str]:
        """An address, a CIDR, or first-last for each range: IPv4 before IPv6, ascending."""
        for ranges, kind in ((self.v4, ipaddress.IPv4Address), (self.v6, ipaddress.IPv6Address)):
            for first, last in ranges:
                yield _text(kind(first), kind(last))


EVERYONE = AddressSet(((0, _LAST4),), ((0, _LAST6),))
NOBODY = AddressSet()


def union(sets: Iterable[AddressSet]) -> AddressSet:
    """What is in any of them."""
    given = list({id(each): each for each in sets if each}.values())  # many rules share one set
    if len(given) < 2:
        return given[0] if given else NOBODY
    return AddressSet(
        _merged(each for one in given for each in one.v4), _merged(each for one in given for each in one.v6)
    )


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _minus(ranges: Ranges, taken: Ranges) -> Ranges:
    """One pass over both, if they touch at all."""
    if not ranges or not taken or ranges == taken or ranges[-1][1] < taken[0][0] or taken[-1][1] < ranges[0][0]:
        return () if ranges == taken else ranges
    left: list[tuple[int, int]] = []
    at = 0
    for range_first, last in ranges:
        first = range_first
        while at < len(taken) and taken[at][1] < first:
            at += 1
        following = at
        while following < len(taken) and taken[following][0] <= last:
            if taken[following][0] > first:
                left.append((first, taken[following][0] - 1))
            first = taken[following][1] + 1
            following += 1
        if first <= last:
            left.append((first, last))
    return tuple(left)


def _overlap(ranges: Ranges, others: Ranges) -> Ranges:
    """One pass over both. Parts of disjoint ranges are disjoint, and of ranges that are not adjacent, not adjacent."""
    both: list[tuple[int, int]] = []
    at = other = 0
    while at < len(ranges) and other < len(others):
        first, last = max(ranges[at][0], others[other][0]), min(ranges[at][1], others[other][1])
        if first <= last:
            both.append((first, last))
        if ranges[at][1] < others[other][1]:
            at += 1
        else:
            other += 1
    return tuple(both)


def _text(first: Address, last: Address) -> str:
    if first == last:
        return str(first)
    size = int(last) - int(first) + 1
    if size & (size - 1) == 0 and int(first) % size == 0:
        return f"{first}/{first.max_prefixlen - size.bit_length() + 1}"
    return f"{first}-{last}"
