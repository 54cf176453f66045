"""Which VLANs port groups reach, as the simulator and the property collector tell it, and cards that change over."""

from pathlib import Path
from typing import Any

import pytest
from pyVmomi import vim

from provider.errors import NamespaceNotListed, PortGroupNotFound
from provider.parentvm import NamespacePorts, PortReach, WantedPlacement
from provider.vsphere import segments
from provider.vsphere.inventory import Entry

from .conftest import PASSWORD, USER, Simulator, make_clone, watching

POOL = "/DC0/host/DC0_C0/Resources"
_Switch = vim.dvs.VmwareDistributedVirtualSwitch


@pytest.fixture(name="segmented")
def _segmented(program: Path, tmp_path: Path) -> Any:
    options = ("--hosts", "2", "--port-group", "team-a=a,vlan=7", "--port-group", "team-b=b,vlan=8")
    simulator = Simulator(program, tmp_path, *options)
    yield simulator
    simulator.stop()


def wanted(**port_groups: str) -> WantedPlacement:
    return WantedPlacement("vm", POOL, pods_apart=True, namespace_port_groups=port_groups)


async def test_each_namespaces_port_group_is_found_with_its_vlan(segmented: Simulator) -> None:
    vc = await segmented.connect()
    placed = await vc.resolve(wanted(a="team-a", b="team-b", c="VM Network"))
    reach = {namespace: each.reach for namespace, each in placed.namespaces.items()}
    assert reach == {
        "a": PortReach(((7, 7),)),
        "b": PortReach(((8, 8),)),
        "c": PortReach(((0, 0),)),
    }
    assert [each.name for each in placed.namespaces.values()] == ["team-a", "team-b", "VM Network"]
    with pytest.raises(PortGroupNotFound, match=r"'team-c' is not in the inventory; there are: .*team-a, team-b"):
        await vc.resolve(wanted(a="team-a", c="team-c"))
    await vc.close()


async def test_a_pods_card_changes_over_to_its_namespaces_port_group_in_the_call_that_pins(
    segmented: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(segmented, wanted(a="team-a", b="team-b")) as watched:
        placed = watched.vc._placed
        clone = await watched.vc.clone(make_clone(watched.parent))
        assert await watched.connected(clone) == [False, False]
        with pytest.raises(NamespaceNotListed, match=r"stranger .*spec\.podNetwork\.namespaces"):
            await watched.vc.pin(clone, "sha256:ab", "stranger")
        made = []
        call = watched.vc._session.call

        async def counted(method: str, work: Any) -> Any:
            made.append(method)
            return await call(method, work)

        monkeypatch.setattr(watched.vc._session, "call", counted)
        await watched.vc.pin(clone, "sha256:ab", "b")
        assert made == ["ReconfigVM_Task"]
        first, second = await watched.cards(clone)
        assert first.backing.deviceName == "VM Network"
        assert second.backing.port.portgroupKey == placed.namespaces["b"].port_group
        assert second.connectable.connected


async def test_the_account_has_to_be_allowed_each_namespaces_port_group(segmented: Simulator) -> None:
    segmented.put("/logins", {USER: PASSWORD, "tenant": PASSWORD})
    vc = await segmented.connect("tenant")
    await vc.resolve(wanted(a="team-a", b="team-b"))
    segmented.put("/privileges", {"user": "tenant", "role": {"/DC0/network/team-a": ["Network.Assign"]}})
    missing = await vc.missing_privileges()
    assert missing["team-b"] == ["Network.Assign"]
    assert "team-a" not in missing
    await vc.close()


def make_entry(kind: type, name: str = "team") -> Entry:
    return Entry(kind("thing-1"), name)


@pytest.fixture(name="told")
def _told(monkeypatch: pytest.MonkeyPatch) -> dict[type, dict[str, Any]]:
    """What vCenter tells, by the kind of object."""
    private = [
        _Switch.PvlanMapEntry(primaryVlanId=100, secondaryVlanId=number, pvlanType=kind)
        for number, kind in ((100, "promiscuous"), (101, "isolated"), (102, "community"))
    ]
    told: dict[type, dict[str, Any]] = {
        vim.dvs.DistributedVirtualPortgroup: {"config.distributedVirtualSwitch": vim.DistributedVirtualSwitch("dvs-1")},
        vim.DistributedVirtualSwitch: {"config.pvlanConfig": private},
        vim.HostSystem: {},
    }
    monkeypatch.setattr(
        segments, "these", lambda _, kind, things, *paths: [Entry(each, "x", told[kind]) for each in things]
    )
    return told


def look(kind: type, name: str = "team") -> NamespacePorts:
    hosts = [Entry(vim.HostSystem("host-1"), "esx")]
    return segments.of_namespaces(None, {"a": make_entry(kind, name)}, hosts)["a"]


@pytest.mark.parametrize(
    ("vlan", "reached"),
    [
        (_Switch.VlanIdSpec(vlanId=7), ((7, 7),)),
        (_Switch.TrunkVlanSpec(vlanId=[vim.NumericRange(start=5, end=9)]), ((5, 9),)),
        (_Switch.PvlanSpec(pvlanId=102), ((102, 102),)),
        (_Switch.PvlanSpec(pvlanId=100), ((100, 100), (101, 101), (102, 102))),
    ],
    ids=["VLAN", "trunk", "community", "promiscuous"],
)
def test_what_a_distributed_port_group_reaches(
    told: dict[type, dict[str, Any]], vlan: Any, reached: tuple[tuple[int, int], ...]
) -> None:
    told[vim.dvs.DistributedVirtualPortgroup]["config.defaultPortConfig.vlan"] = vlan
    assert look(vim.dvs.DistributedVirtualPortgroup).reach == PortReach(reached)


def test_a_guest_on_a_trunk_of_a_standard_switch_chooses_its_vlan(told: dict[type, dict[str, Any]]) -> None:
    groups = [
        vim.host.PortGroup(spec=vim.host.PortGroup.Specification(name=name, vlanId=vlan))
        for name, vlan in (("team", 7), ("trunk", 4095))
    ]
    told[vim.HostSystem]["config.network.portgroup"] = groups
    assert look(vim.Network).reach == PortReach(((7, 7),))
    assert look(vim.Network, "trunk").reach == PortReach(((0, 4095),))


def test_what_cannot_be_seen_is_said(told: dict[type, dict[str, Any]]) -> None:
    assert "is of NSX" in look(vim.OpaqueNetwork).reach.unknown
    assert "cannot be seen" in look(vim.Network).reach.unknown
    assert "cannot be seen" in look(vim.dvs.DistributedVirtualPortgroup).reach.unknown
    told[vim.dvs.DistributedVirtualPortgroup]["config.backingType"] = "nsx"
    assert "is of NSX" in look(vim.dvs.DistributedVirtualPortgroup).reach.unknown
