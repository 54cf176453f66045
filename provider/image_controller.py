"""From the names of PodVMImages to what parents are cloned from: templates found, or brought into the inventory first.

One virtual node's, since names are looked for in its vCenter. What is found stays until the image's spec changes;
what is not is looked for again, since that is mended in vCenter, out of our sight.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog

from provider import errors, parent_message
from provider.api.image import PodVMImageSpec
from provider.backoff import Backoff
from provider.clock import Clock
from provider.parent_slots import Image, digest, lineage
from provider.waiting import wait_until

_LONGEST_RETRY = 30.0


class Templates(Protocol):
    """`podvm.VSphere`'s part."""

    async def template(self, name: str) -> str: ...

    async def import_item(self, library: str, item: str, name: str) -> str: ...

    async def import_ova(self, url: str, sha256: str, name: str) -> str: ...


class ImageController:
    """Finds the templates of the images that a VCH uses."""

    def __init__(
        self,
        vsphere: Templates,
        known: Callable[[], Mapping[str, PodVMImageSpec]],
        used: Callable[[], Sequence[str]],
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._vsphere = vsphere
        self._known = known
        self._used = used
        self._clock = clock
        self._on_change = on_change
        self._found: dict[str, tuple[str, str]] = {}  # by image: digest of its source, moref
        self._failures: dict[str, errors.ProviderError] = {}
        self._backoffs: defaultdict[str, Backoff] = defaultdict(Backoff)
        self._changed = asyncio.Event()
        self._log = structlog.get_logger()

    def changed(self) -> None:
        """The VCH or an image may have changed."""
        for backoff in self._backoffs.values():
            backoff.hurry()
        self._changed.set()

    def images(self, common: Mapping[str, Any]) -> Mapping[str, Image]:
        """All images whose template is known. Raises the error of the first used one that is not."""
        known = self._known()
        for name in self.used():
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                raise errors.InvalidSpec(
                    "spec.template.images", f"PodVMImage {name!r} does not exist; there are: {there}"
                )
        made = {}
        for name, spec in known.items():
            source = ""
            if spec.source is not None:
                at, source = self._found.get(name, ("", ""))
                if at != _key(spec):
                    continue
            made[name] = Image(
                name, source, spec.fork.base if spec.fork else "", parent_message.merged(common, setup_of(spec))
            )
        for name in self.used():
            if name in self._failures:
                raise self._failures[name]
            if name not in known:
                # All are named, whether their templates are known or not.
                text = f"PodVMImage {name!r} does not exist; there are: {', '.join(sorted(known)) or 'none'}"
                raise errors.InvalidSpec("spec.template.images", text)
            if name not in made:
                raise errors.ImagePending(f"PodVMImage {name!r}: its template is being looked for")
        return made

    def error_of(self, name: str) -> errors.ProviderError | None:
        """Why no parent can be made of an image, be it for one that it is a fork of."""
        forks = {each: Image(each, fork_of=spec.fork.base if spec.fork else "") for each, spec in self._known().items()}
        try:
            chain = lineage(name, forks)
        except errors.InvalidSpec as error:
            return error
        return next((self._failures[each.name] for each in chain if each.name in self._failures), None)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            until = await self._look()
            await wait_until(until, self._changed, self._clock)

    async def _look(self) -> float | None:
        untils = []
        for name in self.used():
            spec = self._known().get(name)
            if spec is None or spec.source is None or self._found.get(name, ("", ""))[0] == _key(spec):
                self._failures.pop(name, None)
                continue
            backoff = self._backoffs[name]
            if self._clock.monotonic() >= backoff.until:
                try:
                    self._found[name] = (_key(spec), await self._find(name, spec))
                    self._failures.pop(name, None)
                    backoff.succeeded()
                except errors.ProviderError as error:
                    self._failures[name] = error
                    delay = min(backoff.failed(error, self._clock.monotonic()), _LONGEST_RETRY)
                    backoff.until = self._clock.monotonic() + delay
                    self._log.warning("image not found", image=name, reason=error.reason, error=str(error))
                self._on_change()
            if backoff.failures:
                untils.append(backoff.until)
        return min(untils, default=None)

    async def _find(self, name: str, spec: PodVMImageSpec) -> str:
        source = spec.source
        assert source is not None
        if source.inventory_template:
            return await self._vsphere.template(source.inventory_template)
        imported = f"vch-image-{name[:50]}-{_key(spec)[:8]}"
        with contextlib.suppress(errors.TemplateNotFound):
            return await self._vsphere.template(imported)  # brought there before
        if source.content_library_item is not None:
            item = source.content_library_item
            return await self._vsphere.import_item(item.library, item.item, imported)
        assert source.ova is not None
        return await self._vsphere.import_ova(source.ova.url, source.ova.sha256, imported)

    def used(self) -> Sequence[str]:
        """The images of the VCH, and those that they are forks of."""
        known = self._known()
        names: dict[str, None] = {}
        for name in self._used():
            while name and name not in names:
                names[name] = None
                spec = known.get(name)
                name = spec.fork.base if spec is not None and spec.fork else ""
        return list(names)


def setup_of(spec: PodVMImageSpec) -> dict[str, Any]:
    """The image's part of what a parent's agent is told."""
    setup: dict[str, Any] = {"preloadImages": list(spec.preload_images)} if spec.preload_images else {}
    if spec.fork is not None:
        fork = spec.fork.model_dump(by_alias=True, exclude={"base"}, exclude_defaults=True)
        setup |= {key: value for key, value in fork.items() if value}
    return setup


def _key(spec: PodVMImageSpec) -> str:
    return digest(spec.source.model_dump(mode="json") if spec.source else {})
