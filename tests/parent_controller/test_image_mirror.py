"""Statuses of PodVMImages: written when they differ, and not otherwise."""

import asyncio
from typing import Any

from provider import errors
from provider.image_status import ImageFacts
from provider.parent_controller import ImageMirror
from provider.parentvm import GuestFacts
from tests.pod_controller.hurried_loop import LoopClock


class Stored:
    """`kube.images.ImageObjects`."""

    def __init__(self, *names: str) -> None:
        self.objects: dict[str, dict[str, Any]] = {name: {"metadata": {"name": name, "uid": name}} for name in names}
        self.writes: list[str] = []
        self.failures: list[errors.KubeError] = []

    async def list(self) -> list[dict]:
        return list(self.objects.values())

    async def apply_status(self, name: str, uid: str, status: dict) -> dict:
        if self.failures:
            raise self.failures.pop(0)
        self.writes.append(name)
        self.objects[name] = {**self.objects[name], "status": status}
        return self.objects[name]


async def test_a_status_is_written_when_it_differs() -> None:
    stored = Stored("photon", "foreign")
    known = {"photon": ImageFacts(1, fork=False), "gone": ImageFacts(1, fork=False)}
    mirror = ImageMirror("vch", stored, lambda: known, LoopClock())
    running = asyncio.create_task(mirror.run())
    try:
        for _ in range(3):
            mirror.changed()
            await asyncio.sleep(10)
        assert stored.writes == ["photon"]
        known["photon"] = ImageFacts(1, fork=False, guest=GuestFacts(kernel_version="6.1"))
        mirror.changed()
        await asyncio.sleep(10)
        assert stored.writes == ["photon"] * 2
        assert stored.objects["photon"]["status"]["kernelVersion"] == "6.1"
    finally:
        running.cancel()


async def test_it_is_tried_again_after_a_failure_and_put_right_after_a_while() -> None:
    stored = Stored("photon")
    stored.failures = [errors.KubeConflict("409", code=409)]
    known = {"photon": ImageFacts(1, fork=False)}
    mirror = ImageMirror("vch", stored, lambda: known, LoopClock())
    running = asyncio.create_task(mirror.run())
    try:
        mirror.changed()
        await asyncio.sleep(20)
        assert stored.writes == ["photon"]
        del stored.objects["photon"]["status"]
        await asyncio.sleep(700)
        assert stored.writes == ["photon"] * 2
    finally:
        running.cancel()
