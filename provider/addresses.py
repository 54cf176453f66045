"""The pools of addresses of a VCH, its pod VMs' and its Pods': which there are, and which is free. Pure.

No memory of its own: an address is in use while a VM in the inventory carries it or a clone for it is under way, so it
is free again only when the VM is destroyed, and a restart cannot forget one (invariant I-74).
"""

import ipaddress
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from provider import errors

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Version = Literal[4, 6]


@dataclass(frozen=True, slots=True)
class AddressRange:
    """From first to last, both included, and of one family."""

    first: Address
    last: Address

    def __contains__(self, address: object) -> bool:
        return (
            isinstance(address, Address)
            and address.version == self.first.version
            and int(self.first) <= int(address) <= int(self.last)
        )

    @property
    def size(self) -> int:
        return int(self.last) - int(self.first) + 1


@dataclass(frozen=True, slots=True)
class AddressPool:
    """The ranges of one VCH and one family, in the order in which they are given.

    Of IPv6 they may have 2^64 addresses and more: nothing here looks at each.
    """

    ranges: tuple[AddressRange, ...]
    field: str = "spec.network.ranges"  # where the admin has written them

    def __contains__(self, address: object) -> bool:
        return any(address in each for each in self.ranges)

    @property
    def size(self) -> int:
        return sum(each.size for each in self.ranges)

    def next_free(self, used: Collection[str], after: str = "") -> str:
        """The first address after that one, and round again, that is not in use. Raises AddressesExhausted.

        `used` may have addresses of both families.
        """
        given = (ipaddress.ip_address(address) for address in used if address)
        taken = {int(address) for address in given if any(address in each for each in self.ranges)}
        numbers = [range(int(each.first), int(each.last) + 1) for each in self.ranges]
        before = ipaddress.ip_address(after) if after else None
        there = next((i for i, each in enumerate(self.ranges) if before in each), None)
        if before is not None and there is not None:
            last = int(before) + 1
            at = numbers[there]
            numbers = [range(last, at.stop), *numbers[there + 1 :], *numbers[:there], range(at.start, last)]
        for each in numbers:
            for number in each:
                if number not in taken:
                    return str(type(self.ranges[0].first)(number))
        raise errors.AddressesExhausted(
            f"all {self.size} addresses of {self.field} are in use: delete Pods or add a range"
        )

    def meets(self, other: "AddressPool") -> bool:
        """Some address is in both."""
        return any(_meet(a, b) for a in self.ranges for b in other.ranges)

    def texts(self) -> list[str]:
        """Each range as first-last, or as the one address that it is."""
        return [_show(each) if each.size > 1 else str(each.first) for each in self.ranges]

    def halves(self) -> tuple["AddressPool", "AddressPool"]:
        """The first addresses, and the others: one fewer, if the number is odd."""
        left = (self.size + 1) // 2
        first: list[AddressRange] = []
        second: list[AddressRange] = []
        for each in self.ranges:
            here = min(left, each.size)
            left -= here
            if here:
                first.append(AddressRange(each.first, each.first + here - 1))
            if here < each.size:
                second.append(AddressRange(each.first + here, each.last))
        return AddressPool(tuple(first), self.field), AddressPool(tuple(second), self.field)


class AddressBook:
    """The pool with what is promised: an address is reserved from before a VM is made until it is gone."""

    def __init__(self, pool: AddressPool, used: Callable[[], Collection[str]]) -> None:
        self.pool = pool
        self._used = used
        self._reserved: dict[str, str] = {}
        self._last = ""

    def reserve(self, holder: str) -> str:
        """The holder's address, the same until it is released. Raises AddressesExhausted."""
        if holder not in self._reserved:
            # Never the one that was free last: neighbours remember the card of the VM before for half a minute, and
            # Linux ignores announcements within a second of another.
            self._last = self.pool.next_free({*self._used(), *self._reserved.values()}, self._last)
            self._reserved[holder] = self._last
        return self._reserved[holder]

    def release(self, holder: str) -> None:
        """Idempotent."""
        self._reserved.pop(holder, None)


@dataclass(frozen=True, slots=True)
class VMAddresses:
    """The addresses of one pod VM."""

    management: str  # of the VM itself: where its agent is reached
    pods: tuple[str, ...]  # of the Pod in it: one of each family at most, the primary first


class PodVMAddresses:
    """All addresses of every pod VM."""

    def __init__(
        self,
        management: AddressPool,
        pods: Sequence[AddressPool],
        used: Callable[[], Collection[str]],
        namespaces: Mapping[str, Sequence[AddressPool]] | None = None,
    ) -> None:
        """`pods`: a pool of each family at most, the primary first; or by namespace, where each has its own; or none
        of either, where they are leased.
        """
        self._management = AddressBook(management, used)
        self._pods = tuple(AddressBook(pool, used) for pool in pods)
        self._namespaces = {
            namespace: tuple(AddressBook(pool, used) for pool in pools)
            for namespace, pools in (namespaces or {}).items()
        }

    def __len__(self) -> int:
        """How many pod VMs can have all of theirs."""
        pods = [min(book.pool.size for book in books) for books in (self._pods, *self._namespaces.values()) if books]
        return min(self._management.pool.size, sum(pods)) if pods else self._management.pool.size

    def reserve(self, holder: str, namespace: str) -> VMAddresses:
        """The holder's addresses, the same until they are released; the Pod's are its namespace's, where each has its
        own. Raises AddressesExhausted (none is kept then), NamespaceNotListed.
        """
        if self._namespaces and namespace not in self._namespaces:
            raise errors.NamespaceNotListed(namespace)
        pods = self._namespaces.get(namespace, self._pods)
        try:
            return VMAddresses(self._management.reserve(holder), tuple(book.reserve(holder) for book in pods))
        except errors.AddressesExhausted:
            self.release(holder)  # or half of the VMs could keep the other half from all of theirs for ever
            raise

    def fits(self, addresses: VMAddresses) -> bool:
        """Whether a VM with these addresses has what it would be given now: the ranges may have been edited since."""
        given = (addresses.management, *addresses.pods)
        books = (self._management, *self._pods)
        return len(given) == len(books) and all(
            ipaddress.ip_address(address) in book.pool for address, book in zip(given, books, strict=True) if address
        )

    def lend(self, holder: str) -> str:
        """A management address alone, for a parent that is being prepared. Raises AddressesExhausted."""
        return self._management.reserve(holder)

    def release(self, holder: str) -> None:
        """Idempotent."""
        for book in (self._management, *self._pods, *itertools.chain(*self._namespaces.values())):
            book.release(holder)


def parse_ranges(
    texts: Iterable[str], reserved: Sequence[str] = (), field: str = "spec.network.ranges", version: Version = 4
) -> AddressPool:
    """`first-last` or a single address each; a pool that contains one of `reserved` (gateway, node) is refused.

    Raises ValueError that names the range.
    """
    ranges = tuple(_parse_range(text, version) for text in texts)
    for number, each in enumerate(ranges):
        for other in ranges[:number]:
            if each.first in other or other.first in each:
                raise ValueError(f"the ranges {_show(other)} and {_show(each)} overlap")
    for address in reserved:
        for each in ranges:
            if ipaddress.ip_address(address) in each:
                raise ValueError(f"the range {_show(each)} contains {address}, which is not a pod VM's")
    return AddressPool(ranges, field)


def _meet(one: AddressRange, other: AddressRange) -> bool:
    same = one.first.version == other.first.version
    return same and int(one.first) <= int(other.last) and int(other.first) <= int(one.last)


def _parse_range(text: str, version: Version) -> AddressRange:
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    first, _, last = text.partition("-")
    try:
        found = AddressRange(kind(first.strip()), kind((last or first).strip()))
    except ValueError as error:
        raise ValueError(f"{text!r} is neither an IPv{version} address nor first-last: {error}") from error
    if int(found.first) > int(found.last):
        raise ValueError(f"the range {text!r} ends before it begins")
    return found


def _show(each: AddressRange) -> str:
    return f"{each.first}-{each.last}"
