"""Which class of VM a Pod gets: just enough of one. Pure.

An instant clone has its parent's CPU and memory, so sizes are discrete: the smallest class that holds what the Pod
requests and what it is limited to is taken, unless the Pod names one. The classes are `PodVMClass` objects (`api`);
here they are values. A class may have an image of its own, so the image is chosen here too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from provider import quantity
from provider.errors import ExceedsVMClass, UnsupportedPod
from provider.podvm import PodVMClass

KubeObject = dict[str, Any]

CLASS_ANNOTATION = "vch.dev/vm-class"
IMAGE_ANNOTATION = "vch.dev/image"

_FIELDS = {
    "cpu": "spec.containers[*].resources.requests.cpu",
    "memory": "spec.containers[*].resources.requests.memory",
}


@dataclass(frozen=True, slots=True)
class VMClass:
    """One size of pod VMs."""

    name: str
    cpus: int
    memory_mib: int
    overhead: PodVMClass  # what kernel, runtime, kubelet and agent need of it
    image: str = ""  # its own image; empty: the VCH's
    runtime_class_names: tuple[str, ...] = ()
    standby: int = 0

    @property
    def usable(self) -> PodVMClass:
        """What a Pod's containers can have of it."""
        return PodVMClass(
            cpu_millis=self.cpus * 1000 - self.overhead.cpu_millis,
            memory_bytes=self.memory_mib * 2**20 - self.overhead.memory_bytes,
        )

    def holds(self, size: Mapping[str, int]) -> bool:
        return size["cpu"] <= self.usable.cpu_millis and size["memory"] <= self.usable.memory_bytes

    def under(self, overhead: Mapping[str, int]) -> "VMClass":
        """As a Pod with an overhead of its own (its RuntimeClass') sees it: the larger overhead counts, not both."""
        return replace(
            self,
            overhead=PodVMClass(
                max(self.overhead.cpu_millis, overhead["cpu"]), max(self.overhead.memory_bytes, overhead["memory"])
            ),
        )

    def __str__(self) -> str:
        usable = self.usable
        return f"{self.name} ({quantity.format_cpu(usable.cpu_millis)} CPUs, {usable.memory_bytes >> 20}Mi)"


def choose_class(pod: KubeObject, size: Mapping[str, int], classes: Sequence[VMClass]) -> VMClass:
    """The class for a Pod of that size (`plan.effective_size`: CPU in thousandths, memory in bytes).

    The annotation `vch.dev/vm-class` names one; else a RuntimeClass that some classes list narrows the choice to
    these; else it is among all. Raises ExceedsVMClass, UnsupportedPod.
    """
    named = (pod["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    if named is not None:
        return _named(named, size, classes)
    runtime_class = pod["spec"].get("runtimeClassName")
    among = [each for each in classes if runtime_class in each.runtime_class_names] if runtime_class else []
    fitting = [each for each in among or classes if each.holds(size)]
    if not fitting:
        raise _exceeded(size, among or classes)
    return min(fitting, key=lambda each: (each.usable.memory_bytes, each.usable.cpu_millis, each.name))


def choose_image(pod: KubeObject, vm_class: VMClass, images: Sequence[str]) -> str:
    """The PodVMImage for a Pod: the annotation's, the class's own, or the first of the VCH. Raises UnsupportedPod."""
    named = (pod["metadata"].get("annotations") or {}).get(IMAGE_ANNOTATION)
    if named is None:
        return vm_class.image or images[0]
    if named not in (*images, vm_class.image):
        raise UnsupportedPod(
            f"metadata.annotations[{IMAGE_ANNOTATION}]",
            f"{named!r} is none of this node's images; there are: {', '.join(images)}",
        )
    return str(named)


def _named(named: str, size: Mapping[str, int], classes: Sequence[VMClass]) -> VMClass:
    for each in classes:
        if each.name == named:
            if not each.holds(size):
                raise _exceeded(size, [each])
            return each
    raise UnsupportedPod(
        f"metadata.annotations[{CLASS_ANNOTATION}]",
        f"{named!r} is none of this node's classes; there are: {', '.join(map(str, classes)) or 'none'}",
    )


def _exceeded(size: Mapping[str, int], classes: Sequence[VMClass]) -> ExceedsVMClass:
    wanted = f"{quantity.format_cpu(size['cpu'])} CPUs and {-(-size['memory'] >> 20)}Mi of memory"
    too_much_cpu = all(size["cpu"] > each.usable.cpu_millis for each in classes)
    return ExceedsVMClass(
        _FIELDS["cpu" if too_much_cpu else "memory"],
        f"the Pod needs {wanted} (requests, limits and overhead); "
        f"no class holds that, there are: {', '.join(map(str, classes)) or 'none'}",
    )
