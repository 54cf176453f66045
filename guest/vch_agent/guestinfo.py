"""The seam to the hypervisor: open-vm-tools' `vmware-rpctool`, three commands.

Four methods, nothing parsed (see `identity`, `report`). guestinfo is not secret and the guest itself can write it: the
provider believes it for the first fingerprint only.
"""

import json
from typing import Any

from . import process

IDENTITY = "guestinfo.vch.identity"
PARENT = "guestinfo.vch.parent"
REPORT = "guestinfo.vch.report"
MAC = "guestinfo.vch.mac"
POD_MAC = "guestinfo.vch.podMac"
"""Of the two network cards, where the hypervisor tells them (the simulator's)."""

_ABSENT = "No value found"
"""What rpctool prints, with exit code 1, for a key that is not set; any other failure is not an answer."""


class GuestInfo:
    """The guestinfo of this virtual machine and its freeze."""

    def __init__(self, rpctool: str) -> None:
        self._rpctool = rpctool

    async def get(self, key: str) -> str | None:
        """The value; None if the key is not set (an empty value counts as not set: vSphere cannot remove a key).

        Raises ProgramFailed when the hypervisor could not be asked, which says nothing about the key.
        """
        command = f"info-get {key}"
        result = await process.run([self._rpctool, command])
        if result.code == 0:
            return result.stdout.strip() or None
        if _ABSENT in result.stdout + result.stderr:
            return None
        said = (result.stderr or result.stdout).strip()
        raise process.ProgramFailed(f"{self._rpctool} {command!r} ended with {result.code}: {said or 'no message'}")

    async def get_object(self, key: str) -> dict[str, Any] | None:
        """The value as a JSON object; None if absent.

        Raises ValueError naming the key when it is not a JSON object.
        """
        value = await self.get(key)
        if value is None:
            return None
        try:
            parsed = json.loads(value)
        except ValueError as error:
            raise ValueError(f"{key} is not JSON: {error}") from error
        if not isinstance(parsed, dict):
            raise ValueError(f"{key} must be a JSON object, not {type(parsed).__name__}")
        return parsed

    async def set(self, key: str, value: str) -> None:
        """Write a key; idempotent. Raises ProgramFailed."""
        await process.check([self._rpctool, f"info-set {key} {value}"])

    async def freeze(self) -> None:
        """Stop here until this is a clone. Returns in every clone, never in the parent. Raises ProgramFailed."""
        await process.check([self._rpctool, "instantclone.freeze"], within=None)
