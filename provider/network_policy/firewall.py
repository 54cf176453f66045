"""What may reach a Pod and what it may reach, as one value: equal permissions are equal values. Pure.

A direction's rules stand for a function from protocol and port to a set of addresses. They are put together from what
policies allow, in any order and however often, into the one form that this function has: so nothing is sent to a guest
when a policy is only written in other words, or a peer comes that was allowed already.

Not in here, since the base rules of the guest's gateway see to it whatever the policies say: replies of allowed
connections, and what the Pod's kubelet (its node) sends it. What a Pod sends to itself does not leave it.
"""

import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from provider.network_policy.address_set import NOBODY, Address, AddressSet, union
from provider.network_policy.policies import LAST_PORT, PortRange, Protocol


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one policy rule gives: traffic with these peers. No port: whatever the protocol."""

    peers: AddressSet
    port: PortRange | None


@dataclass(frozen=True, slots=True)
class Rule:
    """Traffic with these peers to any of these ports. None: traffic of every protocol, also those without ports."""

    peers: AddressSet
    ports: tuple[PortRange, ...] | None


@dataclass(frozen=True, slots=True)
class Direction:
    """What is not isolated is open, and has no rules."""

    isolated: bool = False
    rules: tuple[Rule, ...] = ()

    def allows(self, peer: Address, protocol: Protocol, port: int) -> bool:
        """Whether a connection may begin; `port` is the destination's."""
        return not self.isolated or any(
            peer in rule.peers
            and (
                rule.ports is None
                or any(each.protocol == protocol and each.first <= port <= each.last for each in rule.ports)
            )
            for rule in self.rules
        )


OPEN = Direction()


@dataclass(frozen=True, slots=True)
class Firewall:
    """Of one Pod."""

    ingress: Direction = OPEN
    egress: Direction = OPEN


def isolated(allowances: Iterable[Allowance]) -> Direction:
    """The union of what is allowed, and nothing else."""
    given: dict[PortRange | None, list[AddressSet]] = {}
    for allowance in allowances:
        if allowance.peers:
            given.setdefault(allowance.port, []).append(allowance.peers)
    by_port = {port: union(sets) for port, sets in given.items()}
    always = by_port.pop(None, NOBODY)
    ports_of: dict[AddressSet, list[PortRange]] = {}
    for protocol in Protocol:
        for port, peers in _layers(protocol, always, by_port):
            ports_of.setdefault(peers, []).append(port)
    rules = [Rule(peers, tuple(ports)) for peers, ports in ports_of.items()]
    rules.sort(key=lambda rule: rule.ports or ())
    return Direction(True, (*([Rule(always, None)] if always else ()), *rules))


def _layers(
    protocol: Protocol, always: AddressSet, by_port: Mapping[PortRange | None, AddressSet]
) -> Iterator[tuple[PortRange, AddressSet]]:
    """First who may use all ports of the protocol, then who may use some of them besides."""
    slices = _slices(protocol, by_port)
    throughout = NOBODY
    if all(peers for _, peers in slices):
        throughout = functools.reduce(AddressSet.overlap, (peers for _, peers in slices))
    if more := throughout.minus(always):
        yield PortRange(protocol), more
    before = union([always, throughout])
    rest = [(port, peers.minus(before)) for port, peers in slices]
    yield from _joined((port, peers) for port, peers in rest if peers)


def _slices(
    protocol: Protocol, by_port: Mapping[PortRange | None, AddressSet]
) -> Sequence[tuple[PortRange, AddressSet]]:
    """All ports of the protocol, cut where any range begins or ends."""
    ours = [(port, peers) for port, peers in by_port.items() if port and port.protocol == protocol]
    cuts = sorted({0, LAST_PORT + 1, *(port.first for port, _ in ours), *(port.last + 1 for port, _ in ours)})
    return [
        (
            PortRange(protocol, first, after - 1),
            union(peers for port, peers in ours if port.first <= first and after - 1 <= port.last),
        )
        for first, after in itertools.pairwise(cuts)
    ]


def _joined(slices: Iterable[tuple[PortRange, AddressSet]]) -> Iterator[tuple[PortRange, AddressSet]]:
    """Neighbours with the same peers are one."""
    last: tuple[PortRange, AddressSet] | None = None
    for port, peers in slices:
        if last and last[1] == peers and last[0].last + 1 == port.first:
            last = (PortRange(port.protocol, last[0].first, port.last), peers)
            continue
        if last:
            yield last
        last = (port, peers)
    if last:
        yield last
