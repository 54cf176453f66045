"""From an image's name to what parents are cloned from."""

import pytest

from provider.api.image import PodVMImageSpec
from provider.errors import InvalidSpec
from provider.image_controller import ImageController
from tests.fake_clock import FakeClock


class NoTemplates:
    """Nobody is to look for one."""

    async def template(self, name: str) -> str:
        raise NotImplementedError

    async def import_item(self, library: str, item: str, name: str) -> str:
        raise NotImplementedError

    async def import_ova(self, url: str, sha256: str, name: str) -> str:
        raise NotImplementedError


def test_an_image_that_is_not_there_is_told_with_all_that_are_though_nobody_uses_them() -> None:
    there = {name: PodVMImageSpec.model_validate({"source": {"inventoryTemplate": name}}) for name in ("b", "a")}
    images = ImageController(NoTemplates(), lambda: there, lambda: ["nobody"], FakeClock(), lambda: None)
    with pytest.raises(InvalidSpec, match="'nobody' does not exist; there are: a, b"):
        images.images({})
