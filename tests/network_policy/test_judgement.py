"""A Pod's firewall allows what the policies of its namespace allow it, and nothing else."""

import ipaddress
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vch_agent import policy as guest_policy

from provider.network_policy import firewall_object
from provider.network_policy.policies import Protocol
from tests.network_policy.generated import connections, make_world
from tests.network_policy.objects import firewall, make_peer, make_policy
from tests.network_policy.reference import Connection, World, permits

DB = make_peer("db", "10.9.0.1", labels={"role": "db"}, ports={"redis": 6379})


def allowed(connection: Connection, policies: list[dict], pods: list[dict], pod: dict = DB) -> bool:
    found = firewall(pod, policies, pods)
    direction = found.ingress if connection.ingress else found.egress
    return direction.allows(ipaddress.ip_address(connection.peer), Protocol(connection.protocol), connection.port)


def comes(peer: str, port: int = 80, protocol: str = "TCP") -> Connection:
    return Connection(True, peer, protocol, port)


def goes(peer: str, port: int = 80, protocol: str = "TCP") -> Connection:
    return Connection(False, peer, protocol, port)


def agrees(world: World) -> None:
    """Every connection, one by one."""
    ours = world.pods[0]
    found = firewall(ours, world.policies, world.pods, world.namespaces)
    for connection in connections(world):
        direction = found.ingress if connection.ingress else found.egress
        peer = ipaddress.ip_address(connection.peer)
        verdict = direction.allows(peer, Protocol(connection.protocol), connection.port)
        assert verdict == permits(world, ours, connection), connection


@pytest.mark.parametrize("seed", range(60))
def test_generated_policies_mean_what_the_reference_says(seed: int) -> None:
    agrees(make_world(random.Random(seed)))


@settings(max_examples=40)
@given(st.randoms(use_true_random=False))
def test_any_policies_mean_what_the_reference_says(chance: random.Random) -> None:
    agrees(make_world(chance))


@settings(max_examples=40)
@given(st.randoms(use_true_random=False))
def test_the_same_permissions_are_the_same_bytes_however_they_are_written(chance: random.Random) -> None:
    world = make_world(chance)
    once = firewall(world.pods[0], world.policies, world.pods, world.namespaces)
    policies = [json.loads(json.dumps(each)) for each in world.policies]
    for each in policies:
        for direction in ("ingress", "egress"):
            rules = each["spec"].get(direction) or []
            for rule in rules:
                for part in ("from", "to", "ports"):
                    chance.shuffle(rule.get(part) or [])
            rules.extend(rules[:1])
            chance.shuffle(rules)
    shuffled = [chance.sample(list(each), len(each)) for each in (policies, world.pods, world.namespaces)]
    again = firewall(world.pods[0], *shuffled)
    assert json.dumps(firewall_object("u", again)) == json.dumps(firewall_object("u", once))


@settings(max_examples=40)
@given(st.randoms(use_true_random=False))
def test_the_guest_reads_what_the_provider_writes(chance: random.Random) -> None:
    world = make_world(chance)
    sent = firewall(world.pods[0], world.policies, world.pods, world.namespaces)
    message = json.loads(json.dumps(firewall_object("u", sent)))
    received = guest_policy.Firewall.parse(message)
    for ours, theirs in ((sent.ingress, received.ingress), (sent.egress, received.egress)):
        assert theirs.isolated == ours.isolated
        assert [(rule.v4, rule.v6) for rule in theirs.rules] == [(rule.peers.v4, rule.peers.v6) for rule in ours.rules]


def test_without_a_policy_everything_is_allowed() -> None:
    assert allowed(comes("192.0.2.1"), [], [])
    assert allowed(goes("192.0.2.1"), [], [])


def test_policies_of_other_namespaces_and_of_other_pods_do_not_concern_a_pod() -> None:
    elsewhere = make_policy("{podSelector: {}, policyTypes: [Ingress]}", namespace="other")
    of_others = make_policy("{podSelector: {matchLabels: {role: web}}, policyTypes: [Ingress]}")
    assert allowed(comes("192.0.2.1"), [elsewhere, of_others], [])


def test_an_open_policy_beside_a_closed_one_opens() -> None:
    closed, opened = make_policy("{podSelector: {}}"), make_policy("{podSelector: {}, ingress: [{}]}", "opened")
    assert not allowed(comes("192.0.2.1"), [closed], [])
    assert allowed(comes("192.0.2.1"), [closed, opened], [])


def test_policy_types_follow_from_the_rules_if_they_are_left_out() -> None:
    without_egress, with_egress = "{podSelector: {}, egress: []}", "{podSelector: {}, egress: [{ports: [{port: 1}]}]}"
    assert not allowed(comes("192.0.2.1"), [make_policy(without_egress)], [])
    assert allowed(goes("192.0.2.1"), [make_policy(without_egress)], [])
    assert not allowed(comes("192.0.2.1"), [make_policy(with_egress)], [])
    assert not allowed(goes("192.0.2.1"), [make_policy(with_egress)], [])


def test_empty_lists_of_peers_and_ports_restrict_nothing_an_empty_list_of_rules_everything() -> None:
    assert allowed(comes("192.0.2.1"), [make_policy("{podSelector: {}, ingress: [{from: [], ports: []}]}")], [])
    assert not allowed(comes("192.0.2.1"), [make_policy("{podSelector: {}, ingress: []}")], [])


def test_a_port_without_a_number_is_all_of_its_protocol_and_tcp_if_it_names_none() -> None:
    udp = make_policy("{podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}")
    assert allowed(comes("192.0.2.1", 5, "UDP"), [udp], [])
    assert not allowed(comes("192.0.2.1", 5, "TCP"), [udp], [])
    tcp = make_policy("{podSelector: {}, ingress: [{ports: [{port: 5}]}]}")
    assert allowed(comes("192.0.2.1", 5, "TCP"), [tcp], [])
    assert not allowed(comes("192.0.2.1", 5, "SCTP"), [tcp], [])


def test_a_named_port_of_ingress_is_the_pods_own() -> None:
    policy = make_policy("{podSelector: {}, ingress: [{ports: [{port: redis}]}]}")
    assert allowed(comes("192.0.2.1", 6379), [policy], [])
    assert not allowed(comes("192.0.2.1", 6380), [policy], [])
    assert not allowed(comes("192.0.2.1", 6379, "UDP"), [policy], [])


def test_a_named_port_of_egress_is_each_peers_own() -> None:
    policy = make_policy(
        "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}], ports: [{port: http}]}]}"
    )
    one, two = make_peer("one", "10.9.0.2", ports={"http": 80}), make_peer("two", "10.9.0.3", ports={"http": 8080})
    assert allowed(goes("10.9.0.2", 80), [policy], [one, two])
    assert not allowed(goes("10.9.0.2", 8080), [policy], [one, two])
    assert allowed(goes("10.9.0.3", 8080), [policy], [one, two])
    assert not allowed(goes("192.0.2.1", 80), [policy], [one, two])  # no Pod, so no name


def test_a_sidecars_ports_have_names_too() -> None:
    sidecar = {"name": "s", "restartPolicy": "Always", "ports": [{"name": "http", "containerPort": 81}]}
    ended = {"name": "i", "ports": [{"name": "http", "containerPort": 82}]}
    pod = make_peer("db", "10.9.0.1", initContainers=[sidecar, ended])
    policy = make_policy("{podSelector: {}, ingress: [{ports: [{port: http}]}]}")
    assert allowed(comes("192.0.2.1", 81), [policy], [], pod)
    assert not allowed(comes("192.0.2.1", 82), [policy], [], pod)


FROM_PODS = make_policy("{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_the_address_of_an_ended_pod_counts_no_more(phase: str) -> None:
    assert allowed(comes("10.9.0.2"), [FROM_PODS], [make_peer("p", "10.9.0.2")])
    assert not allowed(comes("10.9.0.2"), [FROM_PODS], [make_peer("p", "10.9.0.2", phase=phase)])


def test_a_pod_that_is_deleted_counts_until_its_containers_have_ended() -> None:
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    ending = make_peer("p", "10.9.0.2", meta=deleted)
    assert allowed(comes("10.9.0.2"), [FROM_PODS], [ending])
    ending["status"]["containerStatuses"] = [{"state": {"running": {}}}, {"state": {"terminated": {}}}]
    assert allowed(comes("10.9.0.2"), [FROM_PODS], [ending])
    ending["status"]["containerStatuses"] = [{"state": {"terminated": {}}}]
    assert not allowed(comes("10.9.0.2"), [FROM_PODS], [ending])
    forced = make_peer("p", "10.9.0.2", meta={**deleted, "deletionGracePeriodSeconds": 0})
    assert not allowed(comes("10.9.0.2"), [FROM_PODS], [forced])


def test_a_pod_of_the_hosts_network_is_its_node_to_selectors_and_an_address_to_ip_blocks() -> None:
    on_host = make_peer("p", "10.1.0.1", hostNetwork=True)
    assert not allowed(comes("10.1.0.1"), [FROM_PODS], [on_host])
    block = make_policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.1.0.0/24}}]}]}")
    assert allowed(comes("10.1.0.1"), [block], [on_host])


def test_both_addresses_of_a_pod_are_its() -> None:
    pods = [make_peer("p", "10.9.0.2", "fd00::2")]
    assert allowed(comes("fd00::2"), [FROM_PODS], pods)
    assert not allowed(comes("fd00::3"), [FROM_PODS], pods)


def test_an_exception_is_of_its_own_block_only() -> None:
    policy = make_policy("""
        podSelector: {}
        ingress:
        - from:
          - ipBlock: {cidr: 10.9.0.0/24, except: [10.9.0.0/28]}
          - podSelector: {}
        """)
    assert not allowed(comes("10.9.0.3"), [policy], [])
    assert allowed(comes("10.9.0.3"), [policy], [make_peer("p", "10.9.0.3")])


@pytest.mark.parametrize(
    "peer", ["{ipBlock: {cidr: nonsense}}", "{ipBlock: {cidr: 0.0.0.0/0, except: [nonsense]}}", "{}"]
)
def test_a_peer_that_cannot_be_read_is_nobody(peer: str) -> None:
    assert not allowed(comes("10.9.0.3"), [make_policy(f"{{podSelector: {{}}, ingress: [{{from: [{peer}]}}]}}")], [])


def test_a_protocol_that_is_not_known_allows_nothing() -> None:
    policy = make_policy("{podSelector: {}, ingress: [{ports: [{protocol: DCCP, port: 80}]}]}")
    assert not allowed(comes("10.9.0.3"), [policy], [])


def test_a_policy_whose_subject_cannot_be_read_closes_its_namespace() -> None:
    broken = make_policy("{podSelector: {matchExpressions: [{key: a, operator: Like, values: [b]}]}}")
    assert not allowed(comes("10.9.0.3"), [broken], [])


def test_more_of_what_is_allowed_already_is_no_news() -> None:
    """A Pod inside an allowed block, a port inside an allowed range."""
    wide = make_policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.9.0.0/16}}]}]}")
    narrow = make_policy("{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}", "narrow")
    assert firewall(DB, [wide, narrow], [make_peer("p", "10.9.0.7")]) == firewall(DB, [wide], [])


def test_the_message_is_this() -> None:
    policy = make_policy("""
        podSelector: {}
        ingress:
        - from: [{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.0/26]}}, {ipBlock: {cidr: "2001:db8::/64"}}]
          ports: [{port: 80}, {port: 81}, {protocol: UDP, port: 53}]
        - from: [{podSelector: {}}]
        """)
    pods = [make_peer("one", "10.9.0.2"), make_peer("two", "10.9.0.3"), make_peer("three", "10.9.0.4")]
    assert firewall_object("uid-1", firewall(DB, [policy], pods)) == {
        "apiVersion": "guest.vch.dev/v1",
        "kind": "Firewall",
        "metadata": {"name": "uid-1"},
        "spec": {
            "ingress": {
                "isolated": True,
                "rules": [
                    {"peers": ["10.9.0.2-10.9.0.4"], "ports": [{"protocol": "Any"}]},
                    {
                        "peers": ["10.0.0.64-10.0.0.255", "2001:db8::/64"],
                        "ports": [
                            {"protocol": "TCP", "first": 80, "last": 81},
                            {"protocol": "UDP", "first": 53, "last": 53},
                        ],
                    },
                ],
            },
            "egress": {"isolated": False, "rules": []},
        },
    }
