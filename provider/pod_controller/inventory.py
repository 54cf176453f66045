"""What vSphere shows of one VCH, kept from the events of its watch. No I/O, no decisions.

Only VMs with this cluster's and this VCH's marks are ours (invariant I-06); of others in the folder only the
addresses count. A standby clone is ours without a Pod, until it is bound to one. While `synced` is false the picture
is stale: what is in it may be used, what is missing means nothing. Parents and hosts are
`parent_controller.inventory`'s.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from provider.errors import TaskFailed
from provider.podvm import Appeared, InventoryEvent, Lost, PodVM, PowerState, Synced, Vanished

APPEARS_WITHIN = 30.0
"""Seconds from the end of a clone's task to its VM in the inventory watch."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A VM, and since when its power state, and whether its host is connected, are what they are."""

    vm: PodVM
    since: float


class Inventory:
    """The pod VMs and the standby clones of one VCH."""

    def __init__(self, cluster: str, vch: str) -> None:
        self._cluster = cluster
        self._vch = vch
        self._seen: dict[str, Seen] = {}  # ours, by moref
        self._uids: dict[str, list[str]] = {}  # morefs by pod UID, in the order in which they were seen
        self._names: dict[tuple[str, str], set[str]] = {}  # morefs by namespace and name of the Pod
        self._foreign: dict[str, PodVM] = {}
        self._destroyed: set[str] = set()  # a late update must not bring a VM back that we destroyed
        self._told: set[str] = set()  # morefs told of since the watch broke
        self._standby: dict[str, Seen] = {}
        self._appearing: dict[str, asyncio.Event] = {}
        self.synced = False
        self.error: Exception | None = None  # why the watch broke, until it is back

    def __len__(self) -> int:
        return len(self._seen) + len(self._standby)

    def apply(self, event: InventoryEvent, now: float) -> Collection[str]:
        """Take in an event; returns the pod UIDs that it concerns."""
        match event:
            case Appeared(vm):
                return self._appeared(vm, now)
            case Vanished(uid, moref):
                self._forget(moref)
                return (uid,)
            case Synced():
                return self._synced()
            case Lost(error):
                self.synced, self.error = False, error
                self._told.clear()
        return ()

    def vm(self, uid: str) -> Seen | None:
        """The VM of a Pod. Should there ever be two, the one that was fed; of somebody's copy of that one and itself
        the one that has the name that we gave it; else the first."""
        found = [self._seen[moref] for moref in self._uids.get(uid, ())]
        return min(found, key=lambda each: (each.vm.pin is None, each.vm.copied), default=None)

    def duplicates(self, uid: str) -> list[PodVM]:
        """VMs of a Pod that are not *the* VM of the Pod."""
        chosen = self.vm(uid)
        return [
            self._seen[moref].vm for moref in self._uids.get(uid, ()) if chosen is not None and moref != chosen.vm.moref
        ]

    def vms(self) -> list[PodVM]:
        """All of ours."""
        return [each.vm for each in self._seen.values()]

    def standbys(self) -> list[Seen]:
        """Ours that have no Pod, in the order in which they were seen."""
        return list(self._standby.values())

    async def appears(self, moref: str) -> None:
        """Returns when the watch shows that VM. Raises TaskFailed if it does not in time."""
        if moref in self._seen or moref in self._standby:
            return
        appeared = self._appearing.setdefault(moref, asyncio.Event())
        try:
            async with asyncio.timeout(APPEARS_WITHIN):
                await appeared.wait()
        except TimeoutError:
            raise TaskFailed(f"the new VM {moref} did not appear in the VCH's folder") from None
        finally:
            self._appearing.pop(moref, None)

    def uids(self) -> Collection[str]:
        return tuple(self._uids)

    def running_namesakes(self, namespace: str, name: str, uid: str) -> list[PodVM]:
        """VMs that still run for older Pods of the same name (invariant I-09)."""
        found = [self._seen[moref].vm for moref in self._names.get((namespace, name), ())]
        return [vm for vm in found if vm.identity.uid != uid and vm.power_state is not PowerState.OFF]

    def addresses(self) -> set[str]:
        """In use, whosever VMs they are: VMs' own and Pods'."""
        standby = [each.vm for each in self._standby.values()]
        return {address for vm in (*self.vms(), *standby, *self._foreign.values()) for address in _addresses(vm)}

    def address_taken(self, vm: PodVM) -> bool:
        """Another of our VMs has an address of its with a better right: it was fed, or else seen before. A clone can
        outlive the process that asked for it, and the next one knows its addresses only when it appears."""
        own = _addresses(vm)
        sharing = [each for each in self.vms() if own & _addresses(each)]
        first = next((each for each in sharing if each.pin), sharing[0] if sharing else vm)
        return first.moref != vm.moref

    def destroyed(self, moref: str) -> None:
        """We have destroyed it; do not wait for the watch to say so."""
        if moref in self._seen or moref in self._standby:
            self._destroyed.add(moref)
            self._forget(moref)

    def _appeared(self, vm: PodVM, now: float) -> Collection[str]:
        old = self._seen.get(vm.moref)
        if old and old.vm.identity != vm.identity:  # by an admin's hand
            self._forget(vm.moref)
            return {old.vm.identity.uid, *self._appeared(vm, now)}
        self._told.add(vm.moref)
        if vm.moref in self._destroyed:
            return ()
        if (vm.identity.cluster, vm.identity.vch) != (self._cluster, self._vch):
            self._foreign[vm.moref] = vm
            return ()
        self._foreign.pop(vm.moref, None)
        if appearing := self._appearing.get(vm.moref):
            appearing.set()
        if vm.standby:
            waiting = self._standby.get(vm.moref)
            same = waiting is not None and _state(waiting.vm) == _state(vm)
            self._standby[vm.moref] = Seen(vm, waiting.since if waiting and same else now)
            return ()
        self._standby.pop(vm.moref, None)  # it is bound to a Pod now
        since = old.since if old and _state(old.vm) == _state(vm) else now
        self._seen[vm.moref] = Seen(vm, since)
        self._names.setdefault((vm.identity.namespace, vm.identity.name), set()).add(vm.moref)
        morefs = self._uids.setdefault(vm.identity.uid, [])
        if vm.moref not in morefs:
            morefs.append(vm.moref)
        return (vm.identity.uid,)

    def _synced(self) -> Collection[str]:
        concerned = set(self._uids)
        for moref in [moref for moref in (*self._seen, *self._standby, *self._foreign) if moref not in self._told]:
            self._forget(moref)
        self._destroyed &= self._told
        self.synced, self.error = True, None
        return concerned

    def _forget(self, moref: str) -> None:
        self._told.discard(moref)
        self._foreign.pop(moref, None)
        self._standby.pop(moref, None)
        seen = self._seen.pop(moref, None)
        if seen is None:
            return
        who = seen.vm.identity
        self._uids[who.uid].remove(moref)
        if not self._uids[who.uid]:
            del self._uids[who.uid]
        self._names[who.namespace, who.name].discard(moref)
        if not self._names[who.namespace, who.name]:
            del self._names[who.namespace, who.name]


def _addresses(vm: PodVM) -> set[str]:
    return {vm.address, *vm.pod_addresses} - {""}


def _state(vm: PodVM) -> tuple[PowerState, bool]:
    return vm.power_state, vm.connected
