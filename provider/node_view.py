"""What is said of a virtual node's parents, images and guests: in the VCH's status, the Node's, in ParentVMs and in
PodVMImages. Read from what the neighbour `node_parts` has put together; decides nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from provider import image_status, parent_status
from provider.api.vch import Sharing, VirtualContainerHostSpec
from provider.catalog import Catalog
from provider.clock import Clock
from provider.image_controller import ImageController
from provider.image_status import ImageFacts
from provider.kube.client import KubeObject
from provider.parent_controller import ParentController, ParentInventory
from provider.parent_slots import Demand
from provider.parentvm import NO_FACTS, GuestFacts
from provider.pod_controller import Inventory
from provider.vch_status import ParentCounts


@dataclass(frozen=True, slots=True)
class NodeView:
    """Of one connection's parts."""

    vch: KubeObject
    spec: VirtualContainerHostSpec
    catalog: Catalog
    parents: ParentInventory
    pod_vms: Inventory
    controller: ParentController
    images: ImageController
    used_images: Callable[[], Sequence[str]]
    clock: Clock

    def parent_counts(self) -> ParentCounts:
        """How many parents there are and should be, and what is said of those that are missing."""
        controller = self.controller
        usable = [key for key in controller.slots if (host := self.parents.hosts.get(key.host)) and host.usable]
        ready = {key for key in controller.slots if (found := controller.decisions.get(key)) and found.ready}
        missing = {Demand(key.image, key.vm_class, key.namespace) for key in controller.slots}
        missing -= {Demand(key.image, key.vm_class, key.namespace) for key in ready}
        return ParentCounts(
            desired=len(usable),
            ready=len(ready),
            missing=tuple(controller.waits_for(demand) for demand in sorted(missing, key=str)),
            failure=controller.failure(),
            on_demand=not self.spec.parents.prewarm or self.spec.sharing is Sharing.NAMESPACE,
            classes_missing=tuple(name for name in self.spec.template.classes if name not in self.catalog.classes),
        )

    def guest_facts(self) -> GuestFacts:
        """What the guests of the default image are, and all images that any parent has."""
        default = self.spec.template.images[0]
        reports = [
            (vm.marks.key.image != default, vm.report.guest)
            for vm in self.parents.parents
            if vm.report is not None and vm.report.guest != NO_FACTS
        ]
        if not reports:
            return NO_FACTS
        first = min(reports, key=lambda each: each[0])[1]
        images = {image.names: image for _, guest in reports for image in guest.images}
        return replace(first, images=tuple(images.values()))

    def parent_objects(self) -> Mapping[str, KubeObject] | None:
        """The ParentVMs by name; None while that is not known."""
        if not self.parents.synced:
            return None
        clones = Counter(vm.origin.parent_id for vm in self.pod_vms.vms() if vm.origin is not None)
        clones.update(seen.vm.origin.parent_id for seen in self.pod_vms.standbys() if seen.vm.origin is not None)
        now, slots, hosts = self.clock.now(), self.controller.slots, self.parents.hosts
        made = (
            parent_status.parent_object(self.vch, vm, slots.get(vm.marks.key), hosts, clones[vm.marks.parent_id], now)
            for vm in self.parents.parents
        )
        return {each["metadata"]["name"]: each for each in made}

    def image_facts(self) -> Mapping[str, ImageFacts] | None:
        """What is known of the images that are used, by name; None while that is not known."""
        if not self.parents.synced:
            return None
        slots, found = self.controller.slots, {}
        for name in self.used_images():
            spec = self.catalog.images.get(name)
            if spec is None:
                continue
            parents = [(vm, slots.get(vm.marks.key)) for vm in self.parents.parents if vm.marks.key.image == name]
            error = self.images.error_of(name) or self.controller.failure(name)
            guest = image_status.guest_of(parents)
            found[name] = ImageFacts(self.catalog.generation(name), spec.fork is not None, error, guest)
        return found
