"""Against the simulator with two clusters: what names mean, and what is said of those that mean nothing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pyVmomi import vim

from provider.errors import (
    AmbiguousName,
    ComputeClusterNotFound,
    DatacenterNotFound,
    DatastoreNotFound,
    FolderNotFound,
    HostNotFound,
    InventoryObjectNotFound,
    PortGroupNotFound,
    ResourcePoolNotFound,
    TemplateNotFound,
)
from provider.parentvm import WantedPlacement
from provider.vsphere.vcenter import VCenter

from .conftest import Simulator, make_machine


@pytest.fixture(name="vc")
async def _vc(site: Simulator) -> AsyncIterator[VCenter]:
    vc = await site.connect()
    yield vc
    await vc.close()


def wanted(**fields: Any) -> WantedPlacement:
    given = {"folder": "vm", "resource_pool": "Resources", "compute_cluster": "DC0_C0"}
    return WantedPlacement(**{**given, **fields})


async def test_everything_that_is_given_is_found(vc: VCenter) -> None:
    found = await vc.resolve(
        wanted(datacenter="DC0", hosts=("DC0_C0_H1",), datastore="LocalDS_1", port_group="VM Network")
    )
    named = [found.datacenter, found.compute_cluster, found.resource_pool, found.folder, *found.hosts]
    named += [found.datastore, found.port_group]
    assert [found.names[moref] for moref in named] == [
        *("DC0", "DC0_C0", "Resources", "vm", "DC0_C0_H1", "LocalDS_1", "VM Network")
    ]


async def test_what_is_not_given_follows_from_the_pool(vc: VCenter) -> None:
    found = await vc.resolve(wanted(compute_cluster="", resource_pool="/DC0/host/DC0_C1/Resources"))
    assert (found.names[found.compute_cluster], found.names[found.datacenter]) == ("DC0_C1", "DC0")
    assert (found.hosts, found.datastore, found.port_group) == ((), "", "")


async def test_a_name_an_inventory_path_and_an_object_id_mean_the_same(vc: VCenter) -> None:
    by_name = await vc.resolve(wanted(hosts=("DC0_C0_H0",)))
    by_path = await vc.resolve(
        WantedPlacement(
            folder="/DC0/vm",
            resource_pool="DC0/host/DC0_C0/Resources",
            datacenter="/DC0",
            compute_cluster="/DC0/host/DC0_C0",
            hosts=("/DC0/host/DC0_C0/DC0_C0_H0",),
        )
    )
    by_id = await vc.resolve(
        WantedPlacement(
            by_name.folder, by_name.resource_pool, by_name.datacenter, by_name.compute_cluster, by_name.hosts
        )
    )
    assert by_name == by_path == by_id


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"datacenter": "DC9"}, DatacenterNotFound, "'DC9' is not in the inventory; there are: DC0$"),
        ({"compute_cluster": "C9"}, ComputeClusterNotFound, "there are: DC0_C0, DC0_C1$"),
        ({"resource_pool": "gold"}, ResourcePoolNotFound, "there are: Resources$"),
        ({"resource_pool": "/DC0/host/DC0_C1/Resources"}, ResourcePoolNotFound, "there are: Resources$"),
        ({"folder": "host"}, FolderNotFound, "there are: vm$"),
        ({"folder": "/DC0/vm/nowhere"}, FolderNotFound, "there are: vm$"),
        ({"hosts": ("DC0_C0_H0", "DC0_C1_H0")}, HostNotFound, "there are: DC0_C0_H0, DC0_C0_H1$"),
        ({"datastore": "nfs"}, DatastoreNotFound, "there are: LocalDS_0, LocalDS_1$"),
        ({"port_group": "dmz"}, PortGroupNotFound, "there are: .*VM Network"),
    ],
)
async def test_names_that_are_not_found_list_those_that_would_do(
    vc: VCenter, fields: dict[str, Any], error: type[InventoryObjectNotFound], message: str
) -> None:
    with pytest.raises(error, match=message):
        await vc.resolve(wanted(**fields))


async def test_a_name_that_means_two_things_lists_their_paths(vc: VCenter) -> None:
    with pytest.raises(AmbiguousName, match=r"/DC0/host/DC0_C0/Resources, /DC0/host/DC0_C1/Resources"):
        await vc.resolve(wanted(compute_cluster=""))


async def test_a_folder_and_a_pool_deep_down_are_found_by_name_and_path(vc: VCenter) -> None:
    def make() -> None:
        datacenter: Any = vc._session.content.rootFolder.childEntity[0]
        datacenter.vmFolder.CreateFolder("team").CreateFolder("pods 100%")
        cluster = datacenter.hostFolder.childEntity[0]
        allocation = vim.ResourceAllocationInfo(limit=-1, reservation=0, expandableReservation=True)
        allocation.shares = vim.SharesInfo(level="normal", shares=0)
        cluster.resourcePool.CreateResourcePool(
            "gold", vim.ResourceConfigSpec(cpuAllocation=allocation, memoryAllocation=allocation)
        )

    await vc._session.call("make", make)
    by_name = await vc.resolve(wanted(compute_cluster="", resource_pool="gold", folder="pods 100%"))
    assert by_name.names[by_name.compute_cluster] == "DC0_C0"
    by_path = await vc.resolve(wanted(resource_pool="/DC0/host/DC0_C0/Resources/gold", folder="team"))
    assert by_path.resource_pool == by_name.resource_pool


async def test_a_template_is_found_and_what_runs_is_no_candidate(site: Simulator, vc: VCenter) -> None:
    await vc.resolve(wanted())
    off = await make_machine(site, vc, "photon", on=False)
    on = await make_machine(site, vc, "running")
    assert await vc.template("photon") == await vc.template("/DC0/vm/photon") == await vc.template(off) == off
    assert await vc.template("running") == on
    with pytest.raises(TemplateNotFound, match=r"'debian' is not in the inventory; there are: photon$"):
        await vc.template("debian")


async def test_the_pods_port_group_is_found_and_looked_at_only_where_pods_are_apart(vc: VCenter) -> None:
    apart = await vc.resolve(wanted(port_group="VM Network", pod_port_group="DC0_DVPG0", pods_apart=True))
    assert [apart.names[moref] for moref in (apart.port_group, apart.pod_port_group)] == ["VM Network", "DC0_DVPG0"]
    assert apart.pod_ports is not None
    together = await vc.resolve(wanted(port_group="VM Network", pod_port_group="VM Network"))
    assert (together.pod_port_group, together.pod_ports) == (together.port_group, None)
    with pytest.raises(PortGroupNotFound, match="'dmz' is not in the inventory"):
        await vc.resolve(wanted(pod_port_group="dmz", pods_apart=True))
