"""What vSphere shows of a VCH's parents, hosts and resource pool, kept from the events of its watch. No I/O, no
decisions.

The neighbour `pod_controller.inventory` has the pod VMs. Only parents with this cluster's and this VCH's marks are
ours, and not those that somebody copied: marks are copied too, the name that goes with them is not. While `synced` is
false the picture is stale: what is missing then means nothing.
"""

from collections.abc import Mapping, Sequence

from provider.parentvm import (
    Host,
    HostChanged,
    HostVanished,
    ParentAppeared,
    ParentKey,
    ParentVanished,
    ParentVM,
    PoolChanged,
    ResourcePool,
)
from provider.podvm import InventoryEvent, Lost, Synced


class ParentInventory:
    """Parents, hosts and the pool of one VCH."""

    def __init__(self, cluster: str, vch: str) -> None:
        self._owner = (cluster, vch)
        self._parents: dict[str, tuple[ParentVM, float]] = {}  # by moref, with the instant since which it is as it is
        self._hosts: dict[str, Host] = {}
        self._told: set[str] = set()  # morefs told of since the watch broke
        self._destroyed: set[str] = set()  # a late update must not bring one back
        self.pool: ResourcePool | None = None
        self.synced = False

    @property
    def hosts(self) -> Mapping[str, Host]:
        return self._hosts

    @property
    def parents(self) -> Sequence[ParentVM]:
        return [vm for vm, _ in self._parents.values()]

    def apply(self, event: InventoryEvent, now: float) -> bool:
        """Take in an event; whether it changed anything that is kept here."""
        match event:
            case ParentAppeared(vm):
                return self._appeared(vm, now)
            case ParentVanished(moref):
                self._told.discard(moref)
                return self._parents.pop(moref, None) is not None
            case HostChanged(host):
                self._told.add(host.moref)
                changed = self._hosts.get(host.moref) != host
                self._hosts[host.moref] = host
                return changed
            case HostVanished(moref):
                self._told.discard(moref)
                return self._hosts.pop(moref, None) is not None
            case PoolChanged(pool):
                changed, self.pool = self.pool != pool, pool
                return changed
            case Synced():
                return self._synced()
            case Lost():
                self.synced = False
                self._told.clear()
        return False

    def of(self, key: ParentKey) -> list[tuple[ParentVM, float]]:
        """The parents of a slot, in the order in which they were seen."""
        return [(vm, since) for vm, since in self._parents.values() if vm.marks.key == key]

    def addresses(self) -> set[str]:
        """Lent to those that are being prepared; extraConfig says so, also to a process that has just started."""
        return {vm.address for vm in self.parents if vm.address and vm.preparing}

    def by_id(self, parent_id: str) -> ParentVM | None:
        return next((vm for vm in self.parents if vm.marks.parent_id == parent_id), None)

    def destroyed(self, moref: str) -> None:
        """We have destroyed it; do not wait for the watch to say so."""
        if self._parents.pop(moref, None) is not None:
            self._destroyed.add(moref)

    def _appeared(self, vm: ParentVM, now: float) -> bool:
        self._told.add(vm.moref)
        if vm.moref in self._destroyed or (vm.marks.cluster, vm.marks.vch) != self._owner:
            return False
        if vm.copied:
            return self._parents.pop(vm.moref, None) is not None
        old, since = self._parents.get(vm.moref, (None, now))
        same = old is not None and (old.power_state, old.frozen) == (vm.power_state, vm.frozen)
        self._parents[vm.moref] = (vm, since if same else now)
        return old != vm

    def _synced(self) -> bool:
        for moref in [moref for moref in self._parents if moref not in self._told]:
            del self._parents[moref]
        for moref in [moref for moref in self._hosts if moref not in self._told]:
            del self._hosts[moref]
        self._destroyed &= self._told
        self.synced = True
        return True
