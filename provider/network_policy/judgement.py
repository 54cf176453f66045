"""From the policies that select a Pod, and the Pods that those name, to the Pod's firewall. Pure.

Cited are the API reference of networking.k8s.io/v1 and
https://kubernetes.io/docs/concepts/services-networking/network-policies/.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

from provider.network_policy.address_set import EVERYONE, AddressSet, union
from provider.network_policy.cluster import Cluster
from provider.network_policy.facts import NamedPort, PodFacts
from provider.network_policy.firewall import OPEN, Allowance, Direction, Firewall, isolated
from provider.network_policy.policies import Policy, PolicyRule, PortName, PortRange

Numbers = Callable[[PortName, AddressSet], Iterable[Allowance]]
"""What a named port comes to among these peers."""


def selecting(pod: PodFacts, policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """The policies that apply to a Pod: those of its own namespace that select its labels."""
    return tuple(each for each in policies if each.namespace == pod.namespace and each.subject.selects(pod.labels))


def firewall_of(ports: Collection[NamedPort], policies: Collection[Policy], cluster: Cluster) -> Firewall:
    """The firewall of a Pod that all these policies select; `ports` are its own.

    "Network policies do not conflict; they are additive": the union of their rules, and a direction that none of them
    concerns is open.
    """

    def own(port: PortName, peers: AddressSet) -> Iterator[Allowance]:
        yield from (Allowance(peers, PortRange(port.protocol, number, number)) for number in port.numbers(ports))

    def theirs(port: PortName, peers: AddressSet) -> Iterator[Allowance]:
        for number, addresses in cluster.numbers(port).items():
            yield Allowance(peers.overlap(addresses), PortRange(port.protocol, number, number))

    return Firewall(
        ingress=_direction([policy.ingress for policy in policies], cluster, own),
        egress=_direction([policy.egress for policy in policies], cluster, theirs),
    )


def _direction(concerns: Iterable[tuple[PolicyRule, ...] | None], cluster: Cluster, numbers: Numbers) -> Direction:
    concerned = [rules for rules in concerns if rules is not None]
    if not concerned:
        return OPEN
    different = dict.fromkeys(rule for rules in concerned for rule in rules)  # each namespace's DNS rule, for one
    return isolated(allowance for rule in different for allowance in _allowances(rule, cluster, numbers))


def _allowances(rule: PolicyRule, cluster: Cluster, numbers: Numbers) -> Iterator[Allowance]:
    """ "Each rule allows traffic which matches both the `from` and `ports` sections." """
    peers = EVERYONE if rule.peers is None else union(_addresses(rule, cluster))
    if rule.ports is None:
        yield Allowance(peers, None)
        return
    for port in rule.ports:
        if isinstance(port, PortRange):
            yield Allowance(peers, port)
        else:
            yield from numbers(port, peers)


def _addresses(rule: PolicyRule, cluster: Cluster) -> Iterator[AddressSet]:
    for peer in rule.peers or ():
        yield peer if isinstance(peer, AddressSet) else cluster.addresses(peer)
