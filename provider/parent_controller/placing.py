"""What Pods and standby clones need of parents: what is offered, which one to clone from, and what to avoid.

Joins what is known (`controller`, both inventories) to the choice (`placement`); a host that refuses for lack of
resources is remembered here for a while.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from provider import errors, placement
from provider.clock import Clock
from provider.errors import ProviderError
from provider.parent_controller.controller import ParentController
from provider.parent_controller.inventory import ParentInventory
from provider.parent_slots import Demand
from provider.parentvm import ParentVM
from provider.placement import Load
from provider.plan import Offer
from provider.pod_controller.inventory import Inventory
from provider.podvm import CloneOrigin, PodVM, PodVMClass
from provider.vm_class import VMClass

_HOSTS_FAULT = (errors.InsufficientResources, errors.HostUnavailable)


class Placing:
    """One virtual node's."""

    def __init__(
        self,
        controller: ParentController,
        parents: ParentInventory,
        pod_vms: Inventory,
        offered: Callable[[], Offer | None],
        classes: Callable[[], Mapping[str, VMClass]],
        clock: Clock,
    ) -> None:
        self._controller = controller
        self._parents = parents
        self._pod_vms = pod_vms
        self._offered = offered
        self._classes = classes
        self._clock = clock
        self._avoided: dict[str, float] = {}
        self._cloning: dict[int, ParentVM] = {}
        self._numbers = 0

    def offer(self) -> Offer | None:
        """Classes and images for Pods; None while that is not known."""
        return self._offered()

    def place(self, demand: Demand, *, current_only: bool = False) -> ParentVM:
        """The parent to clone from, an outdated one as long as there is no other. Raises NoParentReady.

        `current_only`: for clones that stand by, which would be outdated as soon as they are there.
        """
        self._controller.ask(demand)
        ready = [vm for vm in self._controller.ready(demand) if not current_only or self._fits(vm)]
        now = self._clock.monotonic()
        return placement.choose(
            ready, self._parents.hosts, self._load(), self._avoided, now, self._controller.waits_for(demand)
        )

    @contextlib.contextmanager
    def lend(self, parent: ParentVM) -> Iterator[None]:
        """It is being cloned: it stays, and what the clone takes is counted."""
        self._numbers += 1
        number = self._numbers
        self._cloning[number] = parent
        try:
            with self._controller.lend(parent):
                yield
        finally:
            del self._cloning[number]

    def refused(self, parent: ParentVM, error: ProviderError) -> None:
        """A clone of it failed: its host is left alone for a while if it is the host's fault."""
        if isinstance(error, _HOSTS_FAULT):
            self._avoided[parent.host] = self._clock.monotonic() + placement.AVOID_SECONDS
        elif isinstance(error, errors.ParentExhausted):
            self._controller.distrust(parent)

    def is_current(self, origin: CloneOrigin) -> bool:
        """The parent that a VM was cloned from is there and is not outdated."""
        found = self._parents.by_id(origin.parent_id)
        return found is not None and self._fits(found)

    def _fits(self, parent: ParentVM) -> bool:
        slot = self._controller.slots.get(parent.marks.key)
        return slot is not None and slot.fits(parent.marks, self._clock.now().timestamp())

    def size(self, vm: PodVM) -> PodVMClass | None:
        """Usable size of a VM; None if its class is not there any more."""
        vm_class = self._classes().get(vm.origin.vm_class) if vm.origin else None
        return vm_class.usable if vm_class else None

    def overhead(self, vm: PodVM) -> PodVMClass | None:
        """What of it is not the Pod's; None if its class is not there any more."""
        vm_class = self._classes().get(vm.origin.vm_class) if vm.origin else None
        return vm_class.overhead if vm_class else None

    def _load(self) -> Load:
        load, classes = Load(), self._classes()
        standby = [seen.vm for seen in self._pod_vms.standbys()]
        for vm in (*self._pod_vms.vms(), *standby):
            vm_class = classes.get(vm.origin.vm_class) if vm.origin else None
            if vm_class is not None:
                load.add(vm.host, vm_class.memory_mib * 2**20, vm_class.cpus)
        for parent in self._cloning.values():
            load.add(parent.host, parent.memory_mib * 2**20, parent.cpus)
        return load
