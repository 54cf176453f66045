"""Which parents a VCH wants: one slot for each ESXi host, class, image (and namespace), and what fills it. Pure.

A slot's *digest* is over everything that its parent is made from: the class's size, the image and all that it is a fork
of, registries, proxy, certificates. A parent with another digest, or one older than `max_age`, is outdated;
`parent_lifecycle`, the neighbour, decides what becomes of it.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provider.errors import InvalidSpec
from provider.parentvm import ParentKey, ParentMarks
from provider.vm_class import VMClass


@dataclass(frozen=True, slots=True)
class Image:
    """A PodVMImage: from a source, or a fork of another one. `setup` is its part of the agent's message."""

    name: str
    source: str = ""  # moref of the template that it is cloned from; empty for a fork
    fork_of: str = ""
    setup: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slot:
    """One wanted parent."""

    key: ParentKey
    digest: str
    vm_class: VMClass
    image: Image
    base: ParentKey | None = None  # the slot of the parent that a fork is an instant clone of
    max_age: float = 0.0  # seconds after which its parent is made anew; 0: never

    def fits(self, marks: ParentMarks, now: float) -> bool:
        """A parent is made from what the slot says, and not too long ago. `now`: unix seconds."""
        return marks.digest == self.digest and not self.too_old(marks, now)

    def too_old(self, marks: ParentMarks, now: float) -> bool:
        return bool(self.max_age) and now >= self.ends(marks)

    def ends(self, marks: ParentMarks) -> float:
        """The instant from which on it is too old, where there is one."""
        return marks.made + self.max_age


@dataclass(frozen=True, slots=True)
class Demand:
    """A parent that a Pod waits for, on whatever host."""

    image: str
    vm_class: str
    namespace: str = ""


def wanted(
    *,
    hosts: Collection[str],
    classes: Sequence[VMClass],
    images: Mapping[str, Image],
    offered: Sequence[str],
    common: Mapping[str, Any],
    prewarm: bool,
    demands: Collection[Demand] = (),
    max_age: float = 0.0,
) -> dict[ParentKey, Slot]:
    """All slots. `images` has every image by name; `offered` are those that Pods may choose, the default first.

    `common` is what all parents of the VCH are made with besides (registries, node name). With `prewarm` every class is
    wanted with its own image, or with each offered one, shared by the whole VCH; without it only what `demands` name.
    A fork's base is wanted too, in the same class. Raises InvalidSpec for an image that is not there or is a fork of
    itself.
    """
    by_name = {each.name: each for each in classes}
    pairs = {(demand.image, demand.vm_class, demand.namespace) for demand in demands if demand.vm_class in by_name}
    if prewarm:
        pairs |= {(image, each.name, "") for each in classes for image in ([each.image] if each.image else offered)}
    slots: dict[ParentKey, Slot] = {}
    for image, vm_class, namespace in sorted(pairs):
        chain = lineage(image, images)
        for host in sorted(hosts):
            _add(slots, host, chain, by_name[vm_class], namespace, common, max_age)
    return slots


def lineage(name: str, images: Mapping[str, Image]) -> list[Image]:
    """An image and what it is a fork of, the oldest first. Raises InvalidSpec."""
    chain: list[Image] = []
    while name:
        found = images.get(name)
        if found is None:
            there = ", ".join(sorted(images)) or "none"
            raise InvalidSpec("spec.template.images", f"PodVMImage {name!r} does not exist; there are: {there}")
        if found in chain:
            circle = " → ".join(each.name for each in (*chain, found))
            raise InvalidSpec("spec.template.images", f"PodVMImages are forks of one another: {circle}")
        chain.append(found)
        name = found.fork_of
    return chain[::-1]


def _add(
    slots: dict[ParentKey, Slot],
    host: str,
    chain: Sequence[Image],
    vm_class: VMClass,
    namespace: str,
    common: Mapping[str, Any],
    max_age: float,
) -> None:
    base: ParentKey | None = None
    made_from: list[Any] = [{"cpus": vm_class.cpus, "memoryMiB": vm_class.memory_mib}, common]
    for image in chain:
        made_from.append({"source": image.source, "setup": image.setup})
        key = ParentKey(host, image.name, vm_class.name, namespace)
        slots[key] = Slot(key, digest(made_from), vm_class, image, base, max_age)
        base = key


def digest(made_from: object) -> str:
    """Of plain data; the same for the same data in whatever order of keys."""
    text = json.dumps(made_from, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not plain data")
