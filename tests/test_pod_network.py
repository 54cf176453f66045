"""What follows from a VCH's `spec.podNetwork`, or from there being none."""

from typing import Any

import pytest

from provider import errors, guest_setup, pod_isolation, pod_network
from provider.api.supplies import ClusterDNS, Proxy, Registries
from provider.api.vch import VirtualContainerHostSpec
from provider.parentvm import NamespacePorts, Placement, PortIsolation, PortReach
from provider.pod_isolation import Finding
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
    assert pod_network.of_guest(shared, NODE, ["10.0.0.7"], "").denied == ("10.0.0.5-10.0.0.6", NODE)
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
    told = pod_network.of_guest(both, NODE, ["10.1.0.20", "fd00:10::20"], "")
    assert told.addresses == ("10.1.0.20/24", "fd00:10::20/64")
    assert told.gateways == ("10.1.0.1", "fd00:10::1")
    alone = pod_network.of_guest(make_alone(gateway=None), NODE, ["fd00:10::20"], "")
    assert (alone.addresses, alone.gateways) == (("fd00:10::20/64",), ())
    assert (pod_network.has_ipv4(both), pod_network.has_ipv4(make_alone()), pod_network.has_ipv4(make_spec())) == (
        True,
        False,
        True,
    )


def test_peers_of_both_families_are_denied() -> None:
    told = pod_network.of_guest(make_own(ipv6=SIX, peerTraffic="Deny"), NODE, ["10.1.0.20", "fd00:10::20"], "")
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
    told = pod_network.of_guest(make_own(), NODE, ["10.1.0.20"], "")
    assert (told.addresses, told.gateways) == (("10.1.0.20/24",), ("10.1.0.1",))
    assert told.isolation == "Pod"
    assert told.denied == ("10.0.0.0/24", "192.0.2.10")


def test_a_pod_may_not_reach_its_peers_where_that_is_denied() -> None:
    told = pod_network.of_guest(make_own(peerTraffic="Deny"), NODE, ["10.1.0.20"], "")
    assert told.denied == ("10.0.0.0/24", "192.0.2.10", "10.1.0.16-10.1.0.250")


def test_every_subnet_of_the_management_network_is_denied_once() -> None:
    spec = make_spec(podNetwork=OWN, network={"ranges": ["10.0.0.5-10.0.0.9", "10.0.0.20", "10.2.0.5"]})
    assert pod_network.of_guest(spec, NODE, ["10.1.0.20"], "").denied == ("10.0.0.0/24", "10.2.0.0/24", "192.0.2.10")


def test_on_one_network_pods_are_not_isolated() -> None:
    told = pod_network.of_guest(make_spec(), NODE, ["10.0.0.40"], "")
    assert (told.addresses, told.gateways, told.isolation) == (("10.0.0.40/24",), ("10.0.0.1",), "None")


@pytest.mark.parametrize(
    ("spec", "ports", "reason", "words"),
    [
        (make_own(), PortIsolation(True, "an isolated private VLAN"), "Isolated", "an isolated private VLAN"),
        (make_own(), PortIsolation(False, "VLAN 7 alone"), "PortGroupNotIsolated", "VLAN 7 alone"),
        (make_own(), None, "PortGroupNotIsolated", "spec.podNetwork.portGroup is not given"),
        (make_own(isolation="None"), PortIsolation(True, "x"), "NotIsolatedBySpec", "isolation is None"),
        (make_spec(), None, "SingleNetwork", "give the VirtualContainerHost a spec.podNetwork"),
    ],
)
def test_whether_pods_are_isolated_is_told_with_the_remedy(
    spec: VirtualContainerHostSpec, ports: PortIsolation | None, reason: str, words: str
) -> None:
    found = pod_isolation.isolation(spec, make_placement(ports))
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


def of_namespace(namespace: str, number: int, **fields: Any) -> dict[str, Any]:
    """Of `spec.podNetwork.namespaces`."""
    usual = {
        "namespace": namespace,
        "portGroup": f"pods-{number}",
        "ranges": [f"10.1.{number}.16-10.1.{number}.31"],
        "prefixLength": 24,
        "gateway": f"10.1.{number}.1",
    }
    return {**usual, **fields}


def make_by_namespace(*networks: dict[str, Any]) -> VirtualContainerHostSpec:
    return make_spec(podNetwork={"isolation": "Namespace", "namespaces": list(networks)})


def test_each_namespaces_pods_have_the_addresses_of_its_own_network() -> None:
    spec = make_by_namespace(of_namespace("blue", 1), of_namespace("red", 2, gateway=None, prefixLength=26))
    pools = pod_network.pools(spec, NODE)
    assert {namespace: [pool.texts() for pool in own] for namespace, own in pools.namespaces.items()} == {
        "blue": [["10.1.1.16-10.1.1.31"]],
        "red": [["10.1.2.16-10.1.2.31"]],
    }
    assert pools.pods == ()
    blue = pod_network.of_guest(spec, NODE, ["10.1.1.16"], "blue")
    assert (blue.addresses, blue.gateways, blue.isolation) == (("10.1.1.16/24",), ("10.1.1.1",), "Namespace")
    assert blue.denied == ("10.0.0.0/24", "192.0.2.10"), "other namespaces are reached by the gateway"
    red = pod_network.of_guest(spec, NODE, ["10.1.2.16"], "red")
    assert (red.addresses, red.gateways) == (("10.1.2.16/26",), ())


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"ranges": ["10.1.1.31-10.1.1.40"], "portGroup": "pods-1"}, "an address in them is also in"),
        ({"ranges": ["10.1.1.40"]}, r"10\.1\.1\.0/24 is the network of .*\[blue\], on another port group"),
        ({"ranges": ["10.1.2.1-10.1.2.9"]}, r"10\.1\.2\.1"),
        ({"ranges": ["10.0.0.60"], "gateway": None}, "is the management network"),
    ],
)
def test_networks_of_namespaces_that_cannot_be_are_named(second: dict[str, Any], words: str) -> None:
    spec = make_by_namespace(of_namespace("blue", 1), of_namespace("red", 2, **second))
    with pytest.raises(errors.InvalidSpec, match=rf"spec\.podNetwork\.namespaces\[red\]\.ranges: .*{words}"):
        pod_network.pools(spec, NODE)


@pytest.mark.parametrize(
    ("own", "field"),
    [({**OWN, "isolation": "Namespace"}, r"spec\.podNetwork\.namespaces"), ({"isolation": "Pod"}, r"spec\.podNetwork")],
)
def test_what_a_schema_of_before_took_is_refused_with_the_remedy(own: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidSpec, match=field):
        pod_network.pools(make_spec(podNetwork=own), NODE)


def ports(name: str, *vlans: int, unknown: str = "") -> NamespacePorts:
    return NamespacePorts(f"moref-of-{name}", name, PortReach(tuple((each, each) for each in vlans), unknown))


TRUNK = NamespacePorts("moref-of-trunk", "trunk", PortReach(((5, 90),)))


@pytest.mark.parametrize(
    ("blue", "red", "isolated", "words"),
    [
        (ports("a", 7), ports("b", 8), True, "a VLAN of its own: blue on 'a', red on 'b'"),
        (ports("a", 7), ports("a", 7), False, "blue and red are not kept apart: both are on the port group 'a'"),
        (ports("a", 7), ports("b", 7), False, "the port groups 'a' and 'b' have the VLAN 7"),
        (ports("a", 0), ports("b", 0), False, "'a' and 'b' have no VLAN, so the same network"),
        (ports("a", 7), TRUNK, False, "'a' and 'trunk' have the VLAN 7"),
        (ports("a", 7), ports("b", unknown="is of NSX"), False, "the namespace red is kept apart is not known"),
        (ports("a", 100, 101), ports("b", 101), False, "have the VLAN 101"),
    ],
)
def test_namespaces_are_apart_where_no_two_share_a_vlan(
    blue: NamespacePorts, red: NamespacePorts, isolated: bool, words: str
) -> None:
    spec = make_by_namespace(of_namespace("blue", 1), of_namespace("red", 2))
    placed = Placement("dc", "c", "p", "f", (), namespaces={"blue": blue, "red": red})
    found = pod_isolation.isolation(spec, placed)
    assert (found.isolated, found.reason) == (isolated, "Isolated" if isolated else "PortGroupNotIsolated")
    assert words in found.message


def test_with_dhcp_the_guest_asks_for_its_address_and_as_many_pods_fit_as_vms() -> None:
    spec = make_spec(podNetwork={"ipam": "DHCP"})
    assert pod_network.pools(spec, NODE).pods == ()
    told = pod_network.of_guest(spec, NODE, (), "")
    assert (told.dhcp, told.addresses, told.gateways) == (True, (), ())
    assert told.denied == ("10.0.0.0/24", NODE)
    assert not pod_network.of_guest(make_own(), NODE, ["10.1.0.20"], "").dhcp
    assert pod_network.has_ipv4(spec)
