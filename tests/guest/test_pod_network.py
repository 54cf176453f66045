"""What is told to nftables, to CNI and to the neighbours, as text and bytes."""

import json
import struct
from ipaddress import ip_address
from typing import Any

from vch_agent import announcement, cni, firewall
from vch_agent.pod_network import PodNetwork

from tests.guest import build


def _network(**changes: Any) -> PodNetwork:
    return PodNetwork.parse(build.pod_network(**changes))


def test_the_sets_are_the_pods_alone() -> None:
    network = _network(addresses=["10.78.0.20/24", "fd00::20/64"], denied=["10.77.0.0/24", "10.77.0.3", "10.9.0.1"])
    assert firewall.members(network).splitlines() == [
        "flush set inet vch own4",
        "add element inet vch own4 { 10.78.0.20 }",
        "flush set inet vch own6",
        "add element inet vch own6 { fd00::20 }",
        "flush set inet vch denied4",
        "add element inet vch denied4 { 10.9.0.1, 10.77.0.0-10.77.0.255 }",
        "flush set inet vch denied6",
        "flush set inet vch dhcp",
    ]


def test_where_the_address_is_leased_the_pod_is_kept_from_dhcp() -> None:
    leased = firewall.members(_network(dhcp=True, addresses=[], gateways=[])).splitlines()
    assert leased[-1] == "add element inet vch dhcp { 67, 68 }"


def test_cni_moves_the_interface_and_gives_it_the_address() -> None:
    (plugin,) = json.loads(cni.conflist(_network()))["plugins"]
    assert (plugin["type"], plugin["device"]) == ("host-device", "vchpod")
    assert plugin["ipam"] == {
        "type": "static",
        "addresses": [{"address": "10.78.0.20/24", "gateway": "10.78.0.1"}],
        "routes": [{"dst": "0.0.0.0/0"}],
    }


def test_an_address_of_ipv6_is_good_at_once() -> None:
    both = _network(addresses=["10.78.0.20/24", "fd78::20/64"], gateways=["10.78.0.1", "fd78::1"])
    before, plugin = json.loads(cni.conflist(both))["plugins"]
    assert (before["type"], before["sysctl"]) == ("tuning", {"net.ipv6.conf.default.accept_dad": "0"})
    assert plugin["ipam"]["addresses"][1] == {"address": "fd78::20/128", "gateway": "fe80::1"}
    assert plugin["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


def test_without_a_gateway_only_the_probes_have_a_route() -> None:
    (plugin,) = json.loads(cni.conflist(_network(gateways=[])))["plugins"]
    assert plugin["ipam"]["addresses"] == [{"address": "10.78.0.20/24"}]
    assert plugin["ipam"]["routes"] == [{"dst": "169.254.1.0/30"}]


def test_an_announcement_says_who_has_the_address() -> None:
    mac = "52:54:00:00:00:02"
    raw = bytes.fromhex("525400000002")
    arp = announcement.frame(mac, ip_address("10.78.0.20"))
    assert (arp[:6], arp[6:12], arp[22:28]) == (b"\xff" * 6, raw, raw)
    assert arp[28:32] == arp[38:42] == bytes([10, 78, 0, 20])
    advertised = announcement.frame(mac, ip_address("fd00::20"))
    source, target, message = advertised[22:38], advertised[38:54], advertised[54:]
    assert message[0] == 136
    summed = source + target + struct.pack("!II", len(message), 58) + message
    total = sum(struct.unpack(f"!{len(summed) // 2}H", summed))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF  # the checksum is right
