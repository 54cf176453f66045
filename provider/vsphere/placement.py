"""What the names of a VCH's spec mean: its cluster, pool, folder, hosts, datastore, port groups.

Everything follows from the resource pool: its owner is the cluster, whose hosts, datastores and port groups are those
that count, and the cluster's datacenter holds the folder. So a name need be unique only where it can mean something.
"""

from typing import Any

from pyVmomi import vim

from provider.errors import (
    ComputeClusterNotFound,
    DatacenterNotFound,
    DatastoreNotFound,
    FolderNotFound,
    HostNotFound,
    PortGroupNotFound,
    ResourcePoolNotFound,
)
from provider.parentvm import Placement, WantedPlacement
from provider.vsphere import isolation, segments
from provider.vsphere.faults import moref
from provider.vsphere.inventory import Entry, ancestor, choose, everything, these
from provider.vsphere.session import Session


async def resolve(session: Session, wanted: WantedPlacement) -> Placement:
    """Raises what `podvm.VSphere.resolve` says."""
    return await session.call("RetrieveInventory", lambda: _resolve(session.content, wanted))


def _resolve(content: Any, wanted: WantedPlacement) -> Placement:
    root = content.rootFolder
    if wanted.datacenter:
        datacenters = everything(content, vim.Datacenter, root)
        root = choose(content, datacenters, wanted.datacenter, "datacenter", DatacenterNotFound).object
    cluster, pool = _cluster_and_pool(content, root, wanted)
    datacenter = these(content, vim.Datacenter, [ancestor(cluster.object, vim.Datacenter)])[0]
    folder = choose(content, _vm_folders(content, datacenter), wanted.folder, "folder", FolderNotFound)
    hosts = these(content, vim.HostSystem, cluster.properties.get("host") or ())
    chosen = [choose(content, hosts, name, "host", HostNotFound) for name in wanted.hosts]
    datastore = port_group = pod_port_group = None
    of_namespaces: dict[str, Entry] = {}
    if wanted.datastore:
        datastores = these(content, vim.Datastore, cluster.properties.get("datastore") or ())
        datastore = choose(content, datastores, wanted.datastore, "datastore", DatastoreNotFound)
    if wanted.port_group or wanted.pod_port_group or wanted.namespace_port_groups:
        networks = these(content, vim.Network, cluster.properties.get("network") or ())
        port_group, pod_port_group = (
            choose(content, networks, name, "port group", PortGroupNotFound) if name else None
            for name in (wanted.port_group, wanted.pod_port_group)
        )
        of_namespaces = {
            namespace: choose(content, networks, name, "port group", PortGroupNotFound)
            for namespace, name in wanted.namespace_port_groups.items()
        }
    entries = [datacenter, cluster, pool, folder, *chosen, *filter(None, (datastore, port_group, pod_port_group))]
    entries += of_namespaces.values()
    return Placement(
        datacenter=datacenter.moref,
        compute_cluster=cluster.moref,
        resource_pool=pool.moref,
        folder=folder.moref,
        hosts=tuple(dict.fromkeys(host.moref for host in chosen)),
        datastore=datastore.moref if datastore else "",
        port_group=port_group.moref if port_group else "",
        pod_port_group=pod_port_group.moref if pod_port_group else "",
        pods_apart=wanted.pods_apart,
        pod_ports=isolation.look(content, pod_port_group) if pod_port_group and wanted.pods_apart else None,
        namespaces=segments.of_namespaces(content, of_namespaces, hosts),
        names={entry.moref: entry.name for entry in entries},
    )


def _cluster_and_pool(content: Any, root: Any, wanted: WantedPlacement) -> tuple[Entry, Entry]:
    """A stand-alone host has a compute resource like a cluster's, and is as good."""
    clusters = everything(content, vim.ComputeResource, root, "host", "datastore", "network")
    pools = everything(content, vim.ResourcePool, root, "owner")
    if wanted.compute_cluster:
        cluster = choose(content, clusters, wanted.compute_cluster, "compute cluster", ComputeClusterNotFound)
        pools = [pool for pool in pools if _owner(pool) == cluster.moref]
        return cluster, choose(content, pools, wanted.resource_pool, "resource pool", ResourcePoolNotFound)
    pool = choose(content, pools, wanted.resource_pool, "resource pool", ResourcePoolNotFound)
    for cluster in clusters:
        if cluster.moref == _owner(pool):
            return cluster, pool
    raise ComputeClusterNotFound(
        f"the compute cluster of the resource pool {pool.name!r} cannot be seen: the account needs System.View on it"
    )


def _vm_folders(content: Any, datacenter: Entry) -> list[Entry]:
    folders = everything(content, vim.Folder, datacenter.object, "childType")
    return [folder for folder in folders if "VirtualMachine" in (folder.properties.get("childType") or ())]


def _owner(pool: Entry) -> str:
    return moref(pool.properties.get("owner"))
