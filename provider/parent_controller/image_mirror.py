"""The statuses of the PodVMImages that a VCH uses: written when they differ. The neighbour `mirror` shows its parents.

What they say is `image_status`, also of images that several VCHs use.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Protocol

from provider import errors, image_status
from provider.clock import Clock
from provider.image_status import ImageFacts
from provider.parent_controller.mirror import KubeObject, Mirror


class ImageObjects(Protocol):
    """`kube.images.ImageObjects`."""

    async def list(self) -> list[KubeObject]: ...

    async def apply_status(self, name: str, uid: str, status: KubeObject) -> KubeObject: ...


class ImageMirror(Mirror):
    """Of one VCH. `shown` says what is known now, by name; None: not yet."""

    def __init__(
        self, vch: str, kube: ImageObjects, shown: Callable[[], Mapping[str, ImageFacts] | None], clock: Clock
    ) -> None:
        super().__init__(f"PodVMImages' statuses of {vch}")
        self._kube = kube
        self._shown = shown
        self._clock = clock

    async def _list(self) -> list[KubeObject]:
        return await self._kube.list()

    async def _write(self, known: dict[str, KubeObject]) -> None:
        shown = self._shown() or {}
        if shown.keys() - known.keys():
            known |= {each["metadata"]["name"]: each for each in await self._kube.list()}
        for name in shown.keys() & known.keys():
            old = known[name].get("status")
            new = image_status.merged(old, image_status.image_status(shown[name], self._clock.now()))
            if new != old:
                with contextlib.suppress(errors.KubeNotFound):
                    uid = known[name]["metadata"]["uid"]
                    known[name] = await self._kube.apply_status(name, uid, new)
