"""The examples of https://kubernetes.io/docs/concepts/services-networking/network-policies/, one by one."""

import ipaddress

import pytest

from provider.network_policy import Firewall
from provider.network_policy.policies import Protocol
from tests.network_policy.objects import firewall, make_namespace, make_peer, make_policy

DB = make_peer("db", "10.9.0.1", labels={"role": "db"})
WEB = make_peer("web", "10.9.0.2", labels={"role": "frontend"})
STRANGER = "192.0.2.1"


def enters(found: Firewall, peer: str, port: int = 80, protocol: str = "TCP") -> bool:
    return found.ingress.allows(ipaddress.ip_address(peer), Protocol(protocol), port)


def leaves(found: Firewall, peer: str, port: int = 80, protocol: str = "TCP") -> bool:
    return found.egress.allows(ipaddress.ip_address(peer), Protocol(protocol), port)


THE_NETWORK_POLICY_RESOURCE = """
podSelector: {matchLabels: {role: db}}
policyTypes: [Ingress, Egress]
ingress:
- from:
  - ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24]}
  - namespaceSelector: {matchLabels: {project: myproject}}
  - podSelector: {matchLabels: {role: frontend}}
  ports:
  - {protocol: TCP, port: 6379}
egress:
- to:
  - ipBlock: {cidr: 10.0.0.0/24}
  ports:
  - {protocol: TCP, port: 5978}
"""


@pytest.mark.parametrize(
    ("peer", "port", "enter"),
    [
        ("172.17.0.0", 6379, True),
        ("172.17.0.255", 6379, True),
        ("172.17.1.0", 6379, False),
        ("172.17.1.255", 6379, False),
        ("172.17.2.0", 6379, True),
        ("172.17.255.255", 6379, True),
        ("172.18.0.0", 6379, False),
        ("172.17.2.0", 6380, False),
        ("10.9.0.2", 6379, True),  # role=frontend in default
        ("10.9.0.3", 6379, False),  # another role in default
        ("10.9.1.2", 6379, True),  # any Pod of project=myproject
        ("10.9.2.2", 6379, False),  # role=frontend elsewhere
    ],
)
def test_ingress_of_the_example_of_the_resource(peer: str, port: int, enter: bool) -> None:
    pods = [
        DB,
        WEB,
        make_peer("batch", "10.9.0.3", labels={"role": "batch"}),
        make_peer("any", "10.9.1.2", namespace="mine"),
        make_peer("web", "10.9.2.2", namespace="theirs", labels={"role": "frontend"}),
    ]
    namespaces = [make_namespace("default"), make_namespace("mine", project="myproject"), make_namespace("theirs")]
    assert enters(firewall(DB, [make_policy(THE_NETWORK_POLICY_RESOURCE)], pods, namespaces), peer, port) == enter


@pytest.mark.parametrize(
    ("peer", "port", "protocol", "leave"),
    [
        ("10.0.0.7", 5978, "TCP", True),
        ("10.0.0.7", 5978, "UDP", False),
        ("10.0.0.7", 5979, "TCP", False),
        ("10.0.1.7", 5978, "TCP", False),
    ],
)
def test_egress_of_the_example_of_the_resource(peer: str, port: int, protocol: str, leave: bool) -> None:
    assert leaves(firewall(DB, [make_policy(THE_NETWORK_POLICY_RESOURCE)], []), peer, port, protocol) == leave


def test_the_example_of_the_resource_leaves_other_pods_alone() -> None:
    assert firewall(WEB, [make_policy(THE_NETWORK_POLICY_RESOURCE)], [DB, WEB]) == Firewall()


ALICE = [make_namespace("default"), make_namespace("hers", user="alice")]
FOUR = [
    make_peer("client", "10.9.0.2", labels={"role": "client"}),
    make_peer("other", "10.9.0.3"),
    make_peer("client", "10.9.1.2", namespace="hers", labels={"role": "client"}),
    make_peer("other", "10.9.1.3", namespace="hers"),
]


def enter_of_four(spec: str) -> list[str]:
    found = firewall(DB, [make_policy(spec)], FOUR, ALICE)
    return [pod["status"]["podIP"] for pod in FOUR if enters(found, pod["status"]["podIP"])]


def test_namespace_and_pod_selector_in_one_entry_are_both_meant() -> None:
    spec = """
        podSelector: {}
        ingress:
        - from:
          - namespaceSelector: {matchLabels: {user: alice}}
            podSelector: {matchLabels: {role: client}}
        """
    assert enter_of_four(spec) == ["10.9.1.2"]


def test_namespace_and_pod_selector_in_two_entries_are_either() -> None:
    spec = """
        podSelector: {}
        ingress:
        - from:
          - namespaceSelector: {matchLabels: {user: alice}}
          - podSelector: {matchLabels: {role: client}}
        """
    assert enter_of_four(spec) == ["10.9.0.2", "10.9.1.2", "10.9.1.3"]


def test_default_deny_all_ingress_traffic() -> None:
    found = firewall(DB, [make_policy("{podSelector: {}, policyTypes: [Ingress]}")], [DB, WEB])
    assert not enters(found, "10.9.0.2")
    assert not enters(found, STRANGER)
    assert leaves(found, STRANGER)


def test_allow_all_ingress_traffic() -> None:
    closed = make_policy("{podSelector: {}, policyTypes: [Ingress]}", "default-deny-ingress")
    found = firewall(DB, [closed, make_policy("{podSelector: {}, ingress: [{}], policyTypes: [Ingress]}")], [])
    assert enters(found, STRANGER)
    assert enters(found, "2001:db8::1", 53, "UDP")
    assert leaves(found, STRANGER)


def test_default_deny_all_egress_traffic() -> None:
    found = firewall(DB, [make_policy("{podSelector: {}, policyTypes: [Egress]}")], [DB, WEB])
    assert not leaves(found, "10.9.0.2")
    assert not leaves(found, STRANGER, 53, "UDP")
    assert enters(found, STRANGER)


def test_allow_all_egress_traffic() -> None:
    closed = make_policy("{podSelector: {}, policyTypes: [Egress]}", "default-deny-egress")
    found = firewall(DB, [closed, make_policy("{podSelector: {}, egress: [{}], policyTypes: [Egress]}")], [])
    assert leaves(found, STRANGER)
    assert enters(found, STRANGER)


def test_default_deny_all_ingress_and_all_egress_traffic() -> None:
    found = firewall(DB, [make_policy("{podSelector: {}, policyTypes: [Ingress, Egress]}")], [DB, WEB])
    assert not enters(found, "10.9.0.2")
    assert not leaves(found, "10.9.0.2")


@pytest.mark.parametrize(("port", "leave"), [(31999, False), (32000, True), (32768, True), (32769, False)])
def test_targeting_a_range_of_ports(port: int, leave: bool) -> None:
    spec = """
        podSelector: {matchLabels: {role: db}}
        policyTypes: [Egress]
        egress:
        - to: [{ipBlock: {cidr: 10.0.0.0/24}}]
          ports: [{protocol: TCP, port: 32000, endPort: 32768}]
        """
    assert leaves(firewall(DB, [make_policy(spec)], []), "10.0.0.9", port) == leave


def test_targeting_multiple_namespaces_by_label() -> None:
    spec = """
        podSelector: {}
        policyTypes: [Egress]
        egress:
        - to: [{namespaceSelector: {matchExpressions: [{key: namespace, operator: In, values: [frontend, backend]}]}}]
        """
    names = ("frontend", "backend", "batch")
    namespaces = [make_namespace("default"), *(make_namespace(name, namespace=name) for name in names)]
    pods = [make_peer("p", f"10.9.{at}.2", namespace=name) for at, name in enumerate(names, 1)]
    found = firewall(DB, [make_policy(spec)], pods, namespaces)
    assert [leaves(found, f"10.9.{at}.2") for at in (1, 2, 3)] == [True, True, False]


def test_targeting_a_namespace_by_its_name() -> None:
    spec = """
        podSelector: {}
        ingress:
        - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}]
        """
    pods = [make_peer("p", "10.9.0.2"), make_peer("p", "10.9.1.2", namespace="other")]
    found = firewall(DB, [make_policy(spec)], pods)
    assert not enters(found, "10.9.0.2")
    assert enters(found, "10.9.1.2")
