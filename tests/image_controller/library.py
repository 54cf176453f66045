"""Templates, content libraries and PodVMImages in memory, and a controller that finds the ones for the others."""

import asyncio
from collections.abc import Callable
from typing import Any

from provider import errors
from provider.api.image import PodVMImageSpec
from provider.image_controller import ImageController
from tests.pod_controller.hurried_loop import LoopClock


class Library:
    """`images`, `uses` and `templates` are a test's to change."""

    def __init__(self) -> None:
        self.images: dict[str, PodVMImageSpec] = {}
        self.uses: list[str] = []
        self.templates: dict[str, str] = {}
        self.asked: list[tuple[str, ...]] = []
        self.changes = 0
        self.clock = LoopClock()
        self.controller = ImageController(
            self, lambda: self.images, lambda: self.uses, self.clock, lambda: setattr(self, "changes", self.changes + 1)
        )
        self._running: asyncio.Task[None] | None = None

    def add(self, name: str, *, used: bool = True, **spec: Any) -> None:
        self.images[name] = PodVMImageSpec.model_validate(spec)
        if used and name not in self.uses:
            self.uses.append(name)
        self.controller.changed()

    def start(self) -> None:
        self._running = asyncio.create_task(self.controller.run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def until(self, condition: Callable[[], object], within: float = 300.0) -> None:
        ends = self.clock.monotonic() + within
        while not condition():
            assert self.clock.monotonic() < ends, f"not so within {within} s; asked: {self.asked}"
            await asyncio.sleep(0.05)

    async def found(self, within: float = 300.0) -> None:
        def all_there() -> bool:
            try:
                return bool(self.controller.images({}))
            except errors.ProviderError:
                return False

        await self.until(all_there, within)

    def source(self, image: str) -> str:
        return self.controller.images({})[image].source

    # Templates.

    async def template(self, name: str) -> str:
        self.asked.append(("template", name))
        if name not in self.templates:
            raise errors.TemplateNotFound(f"there is no template {name}; there are: {', '.join(self.templates)}")
        return self.templates[name]

    async def import_item(self, library: str, item: str, name: str) -> str:
        self.asked.append(("item", library, item, name))
        self.templates[name] = f"vm-of-{item}"
        return self.templates[name]

    async def import_ova(self, url: str, sha256: str, name: str) -> str:
        self.asked.append(("ova", url, sha256, name))
        self.templates[name] = "vm-of-ova"
        return self.templates[name]
