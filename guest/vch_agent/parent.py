"""What a parent is told (`guestinfo.vch.parent`) and what it answers (`guestinfo.vch.report`). Pure.

`parentId` is unique to one parent VM: one that changes over a freeze means that this machine is a fork, which is to
become a parent of its own. A message without one is a parent that nobody asks anything of.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from . import setup
from .setup import Setup


@dataclass(frozen=True, slots=True)
class Parent:
    """Who this parent is. Raised errors name the field that is wrong."""

    parent_id: str
    node: str
    freeze: bool
    time: float | None
    seed: bytes | None
    setup: Setup

    @classmethod
    def parse(cls, value: dict[str, Any]) -> "Parent":
        """From the decoded guestinfo value. Raises ValueError."""
        node, time, seed = value.get("node"), value.get("time"), value.get("seed")
        if not isinstance(node, str) or not node:
            raise ValueError("parent.node: a non-empty string is required")
        if time is not None and (isinstance(time, bool) or not isinstance(time, int | float)):
            raise ValueError("parent.time: a number is required")
        if seed is not None and not isinstance(seed, str):
            raise ValueError("parent.seed: a string is required")
        try:
            decoded = base64.b64decode(seed, validate=True) if seed else None
        except binascii.Error as error:
            raise ValueError(f"parent.seed: {error}") from error
        try:
            wanted = setup.parse(value.get("setup"))
        except ValueError as error:
            raise ValueError(f"parent.{error}") from error
        return cls(
            parent_id=parent_id(value),
            node=node,
            freeze=value.get("freeze") is True,
            time=None if time is None else float(time),
            seed=decoded,
            setup=wanted,
        )


def parent_id(value: dict[str, Any] | None) -> str:
    """The id in a message that may be damaged otherwise; "" if there is none."""
    found = (value or {}).get("parentId")
    return found if isinstance(found, str) else ""


class ParentPhase(StrEnum):
    """What a parent reports."""

    PREPARING = "Preparing"
    WARM = "Warm"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the guest's containerd holds."""

    names: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the clones of a parent are made of."""

    os_image: str = ""
    kernel_version: str = ""
    kubelet_version: str = ""
    container_runtime_version: str = ""
    agent_version: str = ""
    images: Sequence[Image] = ()
    shares_memory: bool = True


def report(parent_id: str, phase: ParentPhase, message: str, facts: Facts) -> str:
    """The one atomic value of `guestinfo.vch.report`."""
    fields = {
        "parentId": parent_id,
        "phase": phase,
        "message": " ".join(message.split())[:512],
        "guest": {
            "osImage": facts.os_image,
            "kernelVersion": facts.kernel_version,
            "kubeletVersion": facts.kubelet_version,
            "containerRuntimeVersion": facts.container_runtime_version,
            "agentVersion": facts.agent_version,
            "images": [{"names": list(image.names), "sizeBytes": image.size} for image in facts.images],
            "sharesMemory": facts.shares_memory,
        },
    }
    return json.dumps(fields, separators=(",", ":"))
