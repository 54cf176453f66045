"""What follows from a VCH's `spec.podNetwork`, or from there being none."""

from typing import Any

import pytest

from provider import errors, guest_setup, pod_network
from provider.api.supplies import ClusterDNS, Proxy, Registries
from provider.api.vch import VirtualContainerHostSpec
from provider.parentvm import Placement, PortIsolation
from provider.pod_network import Finding
from tests.builders import make_spec

NODE = "192.0.2.10"
OWN: dict[str, Any] = {"ranges": ["10.1.0.16 - 10.1.0.250"], "prefixLength": 24, "gateway": "10.1.0.1"}


def make_own(**fields: Any) -> VirtualContainerHostSpec:
    return make_spec(podNetwork={**OWN, **fields})


def make_placement(ports: PortIsolation | None = None) -> Placement:
    return Placement("dc", "c", "p", "f", (), pod_ports=ports)


def test_pods_have_the_addresses_of_their_own_network() -> None:
    pools = pod_network.pools(make_own(), NODE)
    assert (pools.management.size, [pool.size for pool in pools.pods]) == (46, [235])


def test_without_a_network_of_their_own_pods_have_half_of_the_addresses_and_reach_no_vm_of_the_others() -> None:
    shared = make_spec(network={"ranges": ["10.0.0.5-10.0.0.8"]})
    pools = pod_network.pools(shared, NODE)
    assert [pool.texts() for pool in (pools.management, *pools.pods)] == [["10.0.0.5-10.0.0.6"], ["10.0.0.7-10.0.0.8"]]
    assert pod_network.of_guest(shared, NODE, ["10.0.0.7"]).denied == ("10.0.0.5-10.0.0.6", NODE)
    with pytest.raises(errors.InvalidSpec, match=r"spec\.network\.ranges: .*at least two"):
        pod_network.pools(make_spec(network={"ranges": ["10.0.0.5"]}), NODE)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"ranges": ["10.1.0.5-10.1.0.5", "10.1.0.4-10.1.0.6"]}, "overlap"),
        ({"ranges": ["10.1.0.1-10.1.0.9"]}, "10.1.0.1"),
        ({"ranges": ["10.0.0.60-10.0.0.90"], "gateway": None}, "is the management network 10.0.0.0/24"),
        ({"prefixLength": 8}, "10.0.0.0/8 is the management network"),
    ],
)
def test_ranges_that_cannot_be_are_named(own: dict, words: str) -> None:
    with pytest.raises(errors.InvalidSpec, match=rf"spec\.podNetwork\.ranges: .*{words}"):
        pod_network.pools(make_own(**own), NODE)


def test_no_range_holds_the_nodes_address() -> None:
    with pytest.raises(errors.InvalidSpec, match=r"spec\.podNetwork\.ranges: .*10\.1\.0\.20"):
        pod_network.pools(make_own(), "10.1.0.20")
    with pytest.raises(errors.InvalidSpec, match=r"spec\.network\.ranges"):
        pod_network.pools(make_spec(network={"ranges": ["10.0.0.5-10.0.0.9"]}), "10.0.0.7")


SIX: dict[str, Any] = {"ranges": ["fd00:10::10 - fd00:10::ffff"], "prefixLength": 64, "gateway": "fd00:10::1"}


def make_alone(**fields: Any) -> VirtualContainerHostSpec:
    """Pods that have IPv6 only."""
    return make_spec(podNetwork={"ipv6": {**SIX, **fields}})


def test_pods_have_an_address_of_each_family_that_has_ranges_ipv4_first() -> None:
    both = make_own(ipv6=SIX)
    assert [pool.texts() for pool in pod_network.pools(both, NODE).pods] == [
        ["10.1.0.16-10.1.0.250"],
        ["fd00:10::10-fd00:10::ffff"],
    ]
    told = pod_network.of_guest(both, NODE, ["10.1.0.20", "fd00:10::20"])
    assert told.addresses == ("10.1.0.20/24", "fd00:10::20/64")
    assert told.gateways == ("10.1.0.1", "fd00:10::1")
    alone = pod_network.of_guest(make_alone(gateway=None), NODE, ["fd00:10::20"])
    assert (alone.addresses, alone.gateways) == (("fd00:10::20/64",), ())


def test_peers_of_both_families_are_denied() -> None:
    told = pod_network.of_guest(make_own(ipv6=SIX, peerTraffic="Deny"), NODE, ["10.1.0.20", "fd00:10::20"])
    assert told.denied == ("10.0.0.0/24", "192.0.2.10", "10.1.0.16-10.1.0.250", "fd00:10::10-fd00:10::ffff")


@pytest.mark.parametrize(
    ("six", "words"),
    [
        ({"ranges": ["fd00:10::1-fd00:10::ff"]}, "contains fd00:10::1"),
        ({"ranges": ["fd00:10::5-fd00:10::ff", "fd00:10::9"]}, "overlap"),
        ({"ranges": ["fd00:10::-fd00:10::ff"], "gateway": None}, "fd00:10:: is an address of every router"),
    ],
)
def test_ranges_of_ipv6_that_cannot_be_are_named(six: dict, words: str) -> None:
    with pytest.raises(errors.InvalidSpec, match=rf"spec\.podNetwork\.ipv6\.ranges: .*{words}"):
        pod_network.pools(make_alone(**six), NODE)


def test_ranges_of_the_vms_are_named_by_their_own_field() -> None:
    with pytest.raises(errors.InvalidSpec, match=r"spec\.network\.ranges"):
        pod_network.pools(make_spec(network={"ranges": ["10.0.0.1-10.0.0.9"]}), NODE)


def test_a_pod_may_not_reach_the_management_network() -> None:
    told = pod_network.of_guest(make_own(), NODE, ["10.1.0.20"])
    assert (told.addresses, told.gateways) == (("10.1.0.20/24",), ("10.1.0.1",))
    assert told.isolation == "Pod"
    assert told.denied == ("10.0.0.0/24", "192.0.2.10")


def test_a_pod_may_not_reach_its_peers_where_that_is_denied() -> None:
    told = pod_network.of_guest(make_own(peerTraffic="Deny"), NODE, ["10.1.0.20"])
    assert told.denied == ("10.0.0.0/24", "192.0.2.10", "10.1.0.16-10.1.0.250")


def test_every_subnet_of_the_management_network_is_denied_once() -> None:
    spec = make_spec(podNetwork=OWN, network={"ranges": ["10.0.0.5-10.0.0.9", "10.0.0.20", "10.2.0.5"]})
    assert pod_network.of_guest(spec, NODE, ["10.1.0.20"]).denied == ("10.0.0.0/24", "10.2.0.0/24", "192.0.2.10")


def test_on_one_network_pods_are_not_isolated() -> None:
    told = pod_network.of_guest(make_spec(), NODE, ["10.0.0.40"])
    assert (told.addresses, told.gateways, told.isolation) == (("10.0.0.40/24",), ("10.0.0.1",), "None")


@pytest.mark.parametrize(
    ("spec", "ports", "reason", "words"),
    [
        (make_own(), PortIsolation(True, "an isolated private VLAN"), "Isolated", "an isolated private VLAN"),
        (make_own(), PortIsolation(False, "VLAN 7 alone"), "PortGroupNotIsolated", "VLAN 7 alone"),
        (make_own(), None, "PortGroupNotIsolated", "spec.podNetwork.portGroup is not given"),
        (make_own(isolation="None"), PortIsolation(True, "x"), "NotIsolatedBySpec", "isolation is None"),
        (make_own(isolation="Namespace"), None, "NotIsolatedBySpec", "isolation is Namespace"),
        (make_spec(), None, "SingleNetwork", "give the VirtualContainerHost a spec.podNetwork"),
    ],
)
def test_whether_pods_are_isolated_is_told_with_the_remedy(
    spec: VirtualContainerHostSpec, ports: PortIsolation | None, reason: str, words: str
) -> None:
    found = pod_network.isolation(spec, make_placement(ports))
    assert found == Finding(reason == "Isolated", reason, found.message)
    assert words in found.message


def test_parents_are_told_of_the_clusters_dns_only_where_there_is_one() -> None:
    common = guest_setup.common(Registries(), None, Proxy(), ClusterDNS(servers=["10.96.0.10"]))
    assert common == {"dns": {"servers": ["10.96.0.10"], "domain": "cluster.local"}}
    assert guest_setup.common(Registries(), None, Proxy()) == {}


@pytest.mark.parametrize(
    ("spec", "said"), [(make_spec(), "Guest"), (make_own(), "Guest"), (make_own(serviceRouting="None"), "None")]
)
def test_guests_route_services_unless_the_spec_says_otherwise(spec: VirtualContainerHostSpec, said: str) -> None:
    assert pod_network.service_routing(spec).value == said
