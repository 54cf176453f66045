"""What a clone is told about itself."""

import json

import pytest
from vch_agent.identity import Identity, Phase, report, same_clone
from vch_agent.pod_network import Isolation

from tests.guest import build

VALUE = build.identity(clientCA="PEM")


def test_every_field_is_read() -> None:
    who = Identity.parse({**VALUE, "gateway": "10.0.0.1"})
    assert (who.clone_id, who.namespace, who.name, who.uid) == ("clone-1", "default", "web", "uid-1")
    assert (str(who.address), str(who.gateway)) == ("127.0.0.1/8", "10.0.0.1")
    assert len(who.seed) == 64
    assert who.nameservers == ("10.0.0.10",)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cloneId": ""}, "identity.cloneId"),
        ({"pod": "web"}, "identity.pod"),
        ({"pod": {"namespace": "a", "name": "b"}}, "identity.pod.uid"),
        ({"address": "10.0.0.300/24"}, "identity.address"),
        ({"gateway": "nowhere"}, "identity.gateway"),
        ({"time": "now"}, "identity.time"),
        ({"time": True}, "identity.time"),
        ({"seed": "%%%"}, "identity.seed"),
        ({"clientCA": None}, "identity.clientCA"),
        ({"podNetwork": None}, "identity.podNetwork"),
        ({"podNetwork": build.pod_network(addresses=[])}, "identity.podNetwork.addresses"),
        ({"podNetwork": build.pod_network(addresses=["10.78.0.300/24"])}, r"podNetwork.addresses\[0\]"),
        ({"podNetwork": build.pod_network(addresses=["10.0.0.2/8", "10.0.0.3/8"])}, "more than one of IPv4"),
        ({"podNetwork": build.pod_network(gateways=["fd00::1"])}, "podNetwork.gateways: fd00::1 is of a family"),
        ({"podNetwork": build.pod_network(gateways="10.0.0.1")}, "podNetwork.gateways: a list"),
        ({"podNetwork": build.pod_network(dhcp="yes", addresses=[])}, "identity.podNetwork.dhcp: true or false"),
        ({"podNetwork": build.pod_network(dhcp=True)}, "identity.podNetwork.dhcp: addresses and gateways are"),
        ({"podNetwork": build.pod_network(isolation="Node")}, "podNetwork.isolation: one of Pod, Namespace, None"),
        ({"podNetwork": build.pod_network(denied=["10.0.0.9-10.0.0.1"])}, r"podNetwork.denied\[0\]"),
        ({"podNetwork": build.pod_network(denied=[7])}, r"podNetwork.denied\[0\]"),
    ],
)
def test_the_error_names_the_field(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Identity.parse({**VALUE, **change})


def test_another_clone_id_means_that_we_were_cloned() -> None:
    who = Identity.parse(VALUE)
    assert same_clone(who, VALUE)
    assert same_clone(who, None)
    assert not same_clone(who, {**VALUE, "cloneId": "clone-2"})


def test_the_report_is_one_json_value() -> None:
    assert json.loads(report("c", Phase.READY, "sha256:00", "10.0.0.2", 10350)) == {
        "cloneId": "c",
        "phase": "Ready",
        "fingerprint": "sha256:00",
        "address": "10.0.0.2",
        "port": 10350,
        "message": "",
    }


def test_the_pods_network_is_read() -> None:
    told = build.pod_network(
        addresses=["10.78.0.20/24", "fd00::20/64"],
        gateways=["10.78.0.1", "fe80::1"],
        denied=["10.77.0.16-10.77.0.20", "10.77.0.0/28", "10.77.0.3", "fd01::/126", "10.9.0.1"],
    )
    network = Identity.parse({**VALUE, "podNetwork": told}).pod_network
    assert list(map(str, network.addresses)) == ["10.78.0.20/24", "fd00::20/64"]
    assert (str(network.gateway(4)), str(network.gateway(6))) == ("10.78.0.1", "fe80::1")
    assert network.isolation is Isolation.POD
    # nftables refuses ranges that meet.
    assert list(map(str, network.denied)) == ["10.9.0.1", "10.77.0.0-10.77.0.20", "fd01::-fd01::3"]
