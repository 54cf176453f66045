"""The rules that a guest's gateway loads are those of the object it was fed, and nothing of its text."""

import copy
from typing import Any

import pytest
from vch_agent import policy
from vch_agent.policy import Firewall

OPEN = {"isolated": False, "rules": []}
FLUSHED = "flush chain inet vch policy_ingress\nflush chain inet vch policy_egress\n"
TCP_80 = {"protocol": "TCP", "first": 80, "last": 80}
EVERYBODY = ["0.0.0.0/0", "::/0"]


def fed(*ingress: dict, isolated: bool = True, egress: dict | None = None) -> dict:
    return {
        "apiVersion": "guest.vch.dev/v1",
        "kind": "Firewall",
        "metadata": {"name": "0a1b2c3d"},
        "spec": {"ingress": {"isolated": isolated, "rules": list(ingress)}, "egress": egress or OPEN},
    }


def rule(*peers: str, ports: list[dict] | None = None) -> dict:
    return {"peers": list(peers), "ports": [TCP_80] if ports is None else ports}


def ingress_rules(*rules: dict) -> list[str]:
    """What comes in, without the default at the end."""
    lines = policy.rules(Firewall.parse(fed(*rules))).removeprefix(FLUSHED).splitlines()
    *accepting, last = [line.removeprefix("add rule inet vch policy_ingress ") for line in lines]
    assert last == "drop"
    return accepting


def test_a_pod_that_is_not_isolated_has_empty_chains() -> None:
    assert policy.rules(Firewall.parse(fed(isolated=False))) == FLUSHED


def test_what_is_isolated_without_rules_is_closed() -> None:
    assert ingress_rules() == []
    egress = {"isolated": True, "rules": []}
    found = policy.rules(Firewall.parse(fed(isolated=False, egress=egress)))
    assert found == f"{FLUSHED}add rule inet vch policy_egress drop\n"


def test_egress_is_judged_by_the_destination() -> None:
    egress = {"isolated": True, "rules": [rule("10.0.0.1")]}
    found = policy.rules(Firewall.parse(fed(isolated=False, egress=egress)))
    assert "policy_egress ip daddr { 10.0.0.1 } tcp dport { 80 } accept\n" in found


def test_families_and_protocols_are_rules_of_their_own() -> None:
    ports = [TCP_80, {"protocol": "TCP", "first": 90, "last": 95}, {"protocol": "SCTP", "first": 0, "last": 65535}]
    assert ingress_rules(rule("10.0.0.0/30", "10.0.0.9-10.0.0.12", "2001:db8::1", ports=ports)) == [
        "ip saddr { 10.0.0.0-10.0.0.3, 10.0.0.9-10.0.0.12 } tcp dport { 80, 90-95 } accept",
        "ip saddr { 10.0.0.0-10.0.0.3, 10.0.0.9-10.0.0.12 } meta l4proto sctp accept",
        "ip6 saddr { 2001:db8::1 } tcp dport { 80, 90-95 } accept",
        "ip6 saddr { 2001:db8::1 } meta l4proto sctp accept",
    ]


def test_everybody_is_no_set() -> None:
    assert ingress_rules(rule(*EVERYBODY)) == ["tcp dport { 80 } accept"]
    assert ingress_rules(rule(*EVERYBODY, ports=[{"protocol": "Any"}])) == ["accept"]
    assert ingress_rules(rule("::/0")) == ["meta nfproto ipv6 tcp dport { 80 } accept"]


def test_overlaps_are_merged_before_nftables_can_refuse_them() -> None:
    assert ingress_rules(rule("10.0.0.7", "10.0.0.0-10.0.0.8", "10.0.0.9")) == [
        "ip saddr { 10.0.0.0-10.0.0.9 } tcp dport { 80 } accept"
    ]


def test_a_rule_without_peers_or_without_ports_allows_nothing() -> None:
    assert ingress_rules(rule(), rule("10.0.0.1", ports=[])) == []


@pytest.mark.parametrize(
    ("at", "value", "field"),
    [
        (["kind"], "Pod", "firewall"),
        (["apiVersion"], "v1", "firewall"),
        (["metadata"], None, "metadata"),
        (["metadata", "name"], "", "metadata.name"),
        (["spec"], [], "spec"),
        (["spec", "egress"], None, "spec.egress"),
        (["spec", "ingress", "isolated"], None, "spec.ingress.isolated"),
        (["spec", "ingress", "isolated"], 1, "spec.ingress.isolated"),
        (["spec", "ingress", "isolated"], False, "spec.ingress.rules"),
        (["spec", "ingress", "rules"], None, "spec.ingress.rules"),
        (["spec", "ingress", "rules", 0], "accept", r"spec.ingress.rules\[0\]"),
        (["spec", "ingress", "rules", 0, "peers"], None, r"spec.ingress.rules\[0\].peers"),
        (["spec", "ingress", "rules", 0, "ports"], None, r"spec.ingress.rules\[0\].ports"),
        (["spec", "ingress", "rules", 0, "ports", 0, "protocol"], "tcp", r"ports\[0\].protocol"),
        (["spec", "ingress", "rules", 0, "ports", 0, "protocol"], [], r"ports\[0\].protocol"),
        (["spec", "ingress", "rules", 0, "ports", 0, "protocol"], "Any", r"ports\[0\].protocol"),
        (["spec", "ingress", "rules", 0, "ports", 0, "first"], "80", r"ports\[0\].first"),
        (["spec", "ingress", "rules", 0, "ports", 0, "first"], True, r"ports\[0\].first"),
        (["spec", "ingress", "rules", 0, "ports", 0, "first"], 81, r"ports\[0\].last"),
        (["spec", "ingress", "rules", 0, "ports", 0, "last"], 65536, r"ports\[0\].last"),
        (["spec", "ingress", "rules", 0, "ports", 0, "last"], None, r"ports\[0\].last"),
    ],
)
def test_the_field_that_is_wrong_is_named(at: list, value: Any, field: str) -> None:
    broken: Any = copy.deepcopy(fed(rule("10.0.0.1")))
    place = broken
    for step in at[:-1]:
        place = place[step]
    place[at[-1]] = value
    with pytest.raises(ValueError, match=field):
        Firewall.parse(broken)


@pytest.mark.parametrize(
    "peer",
    [
        "", "example.com", "10.0.0.1 } accept; #", "10.0.0.1\n", "10.0.0", "010.0.0.1", "10.0.0.1/24", "10.0.0.0/33",
        "10.0.0.2-10.0.0.1", "10.0.0.1-", "10.0.0.1-2001:db8::1", "fe80::1%eth0", "fe80::1%} accept; add rule",
        "fe80::%}/64", "@own4", "10.0.0.1-10.0.0.2-10.0.0.3", 167772161, None, ["10.0.0.1"],
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(peer: Any) -> None:
    with pytest.raises(ValueError, match=r"spec\.ingress\.rules\[1\]\.peers\[0\]"):
        Firewall.parse(fed(rule("10.0.0.1"), {"peers": [peer], "ports": [TCP_80]}))


@pytest.mark.parametrize("value", [None, [], "Firewall", 1])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="firewall"):
        Firewall.parse(value)
