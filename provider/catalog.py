"""The PodVMClasses and PodVMImages of the cluster as values, kept up to date by `handlers`; shared by all virtual
nodes.

Loaded whole before the first virtual node runs: a class that is only not known yet must not look like one that was
deleted. What a VCH makes of them is `parent_slots` (parents) and `plan` (Pods).
"""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from pydantic import ValidationError

from provider import quantity
from provider.api.image import PodVMImageSpec
from provider.api.vm_class import PodVMClassSpec
from provider.podvm import PodVMClass
from provider.vm_class import VMClass

KubeObject = dict[str, Any]

log = structlog.get_logger(__name__)


class Catalog:
    """Classes and images by name."""

    def __init__(self) -> None:
        self._classes: dict[str, VMClass] = {}
        self._images: dict[str, PodVMImageSpec] = {}
        self._generations: dict[str, int] = {}  # of the images
        self._listeners: set[Callable[[], None]] = set()

    @property
    def classes(self) -> Mapping[str, VMClass]:
        return self._classes

    @property
    def images(self) -> Mapping[str, PodVMImageSpec]:
        return self._images

    def generation(self, image: str) -> int:
        """Of the spec of an image, as the API server counts them."""
        return self._generations.get(image, 0)

    def subscribe(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Be told of changes; the result ends that."""
        self._listeners.add(on_change)
        return lambda: self._listeners.discard(on_change)

    def see(self, thing: KubeObject) -> None:
        """An object is there, new or changed."""
        name = thing["metadata"]["name"]
        try:
            if thing["kind"] == "PodVMClass":
                self._become(self._classes, name, vm_class(name, PodVMClassSpec.model_validate(thing["spec"])))
            else:
                self._generations[name] = int(thing["metadata"].get("generation") or 0)
                self._become(self._images, name, PodVMImageSpec.model_validate(thing["spec"]))
        except (ValidationError, ValueError) as error:
            # The API server has validated it: this is an object of another version's schema.
            log.error("an object cannot be read", kind=thing["kind"], name=name, error=str(error))

    def forget(self, kind: str, name: str) -> None:
        """An object is gone."""
        known: dict[str, Any] = self._classes if kind == "PodVMClass" else self._images
        if known.pop(name, None) is not None:
            self._tell()

    def _become(self, known: dict[str, Any], name: str, value: object) -> None:
        if known.get(name) != value:
            known[name] = value
            self._tell()

    def _tell(self) -> None:
        for each in list(self._listeners):
            each()


def vm_class(name: str, spec: PodVMClassSpec) -> VMClass:
    """Raises ValueError for a quantity that is none."""
    return VMClass(
        name=name,
        cpus=spec.cpus,
        memory_mib=quantity.whole(spec.memory) // 2**20,
        overhead=PodVMClass(quantity.millis(spec.overhead.cpu), quantity.whole(spec.overhead.memory)),
        image=spec.image,
        runtime_class_names=tuple(spec.runtime_class_names),
        standby=spec.standby,
    )
