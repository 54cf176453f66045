"""What is said of port groups: those of the simulator, and private VLANs as the property collector would tell them."""

from typing import Any

import pytest
from pyVmomi import vim

from provider.parentvm import WantedPlacement
from provider.vsphere import isolation
from provider.vsphere.inventory import Entry

from .conftest import Simulator

REMEDY = "put Pods on a distributed port group whose VLAN is an isolated private one"


@pytest.mark.parametrize(
    ("name", "words"),
    [("VM Network", "of a standard switch, which has no private VLANs"), ("DC0_DVPG0", "has no private VLAN")],
)
async def test_port_groups_without_private_vlans_are_told_with_the_remedy(
    site: Simulator, name: str, words: str
) -> None:
    vc = await site.connect()
    placed = await vc.resolve(WantedPlacement("vm", "/DC0/host/DC0_C0/Resources", pod_port_group=name, pods_apart=True))
    await vc.close()
    assert placed.pod_ports is not None
    assert not placed.pod_ports.isolated
    assert f"{name!r}" in placed.pod_ports.message
    assert words in placed.pod_ports.message
    assert REMEDY in placed.pod_ports.message


def make_portgroup() -> Entry:
    return Entry(vim.dvs.DistributedVirtualPortgroup("dvportgroup-1"), "pods")


@pytest.fixture(name="told")
def _told(monkeypatch: pytest.MonkeyPatch) -> dict[type, dict[str, Any]]:
    """What vCenter tells of the port group and its switch; a private VLAN of each type, and one that is not there."""
    private = [
        vim.dvs.VmwareDistributedVirtualSwitch.PvlanMapEntry(primaryVlanId=100, secondaryVlanId=number, pvlanType=kind)
        for number, kind in ((100, "promiscuous"), (101, "isolated"), (102, "community"))
    ]
    told: dict[type, dict[str, Any]] = {
        vim.dvs.DistributedVirtualPortgroup: {"config.distributedVirtualSwitch": vim.DistributedVirtualSwitch("dvs-1")},
        vim.DistributedVirtualSwitch: {
            "config": vim.dvs.VmwareDistributedVirtualSwitch.ConfigInfo(pvlanConfig=private)
        },
    }
    monkeypatch.setattr(isolation, "these", lambda _, kind, things, *paths: [Entry(things[0], "x", told[kind])])
    return told


def on_vlan(told: dict[type, dict[str, Any]], number: int) -> None:
    vlan = vim.dvs.VmwareDistributedVirtualSwitch.PvlanSpec(pvlanId=number)
    told[vim.dvs.DistributedVirtualPortgroup]["config.defaultPortConfig"] = (
        vim.dvs.VmwareDistributedVirtualSwitch.VmwarePortConfigPolicy(vlan=vlan)
    )


@pytest.mark.parametrize(
    ("number", "isolated", "words"),
    [
        (101, True, "on the isolated private VLAN 101"),
        (102, False, "the private VLAN 102, which is community, not isolated"),
        (100, False, "the private VLAN 100, which is promiscuous, not isolated"),
        (109, False, "the private VLAN 109, which its switch does not have"),
    ],
)
def test_only_an_isolated_private_vlan_keeps_ports_apart(
    told: dict[type, dict[str, Any]], number: int, isolated: bool, words: str
) -> None:
    on_vlan(told, number)
    found = isolation.look(None, make_portgroup())
    assert found.isolated is isolated
    assert words in found.message


def test_a_switch_that_cannot_be_seen_is_no_proof(told: dict[type, dict[str, Any]]) -> None:
    on_vlan(told, 101)
    told[vim.DistributedVirtualSwitch] = {}
    assert not isolation.look(None, make_portgroup()).isolated


@pytest.mark.parametrize(
    "network",
    [Entry(vim.OpaqueNetwork("network-o1"), "segment"), make_portgroup()],
    ids=["opaque network", "port group of NSX"],
)
def test_what_nsx_does_is_not_to_be_seen_from_here(told: dict[type, dict[str, Any]], network: Entry) -> None:
    on_vlan(told, 101)
    told[vim.dvs.DistributedVirtualPortgroup]["config.backingType"] = "nsx"
    found = isolation.look(None, network)
    assert not found.isolated
    assert "distributed firewall" in found.message
