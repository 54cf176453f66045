"""Whether the account may do what the VCH needs, looked at when that is in doubt: not once only, and not all the time.

In doubt it is at first, when the templates are found, and whenever vCenter refuses something for lack of a privilege.
While something is lacking it is looked at again and again: what an admin grants is told by nobody.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog

from provider.errors import NoPermission, VSphereError

AGAIN = 10.0
"""Seconds between looks while something is lacking."""


class Privileges(Protocol):
    """`podvm.VSphere`'s part."""

    async def missing_privileges(self) -> Mapping[str, Sequence[str]]: ...


class Rights:
    """One connection's. `on_change` is told the error, or None when everything needed is granted."""

    def __init__(self, vsphere: Privileges, on_change: Callable[[NoPermission | None], None]) -> None:
        self.error: NoPermission | None = None
        self._vsphere = vsphere
        self._on_change = on_change
        self._doubt = asyncio.Event()

    def doubt(self) -> None:
        """Look soon."""
        self._doubt.set()

    async def look(self) -> None:
        """Raises NoPermission if anything is lacking, VSphereError."""
        if error := lacking(await self._vsphere.missing_privileges()):
            raise error

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN if self.error else None):
                    await self._doubt.wait()
            self._doubt.clear()
            try:
                found = lacking(await self._vsphere.missing_privileges())
            except VSphereError as error:
                structlog.get_logger().warning("privileges not looked at", reason=error.reason, error=str(error))
                await asyncio.sleep(AGAIN)
                self._doubt.set()
                continue
            if str(found) != str(self.error):
                self.error = found
                self._on_change(found)


def lacking(missing: Mapping[str, Sequence[str]]) -> NoPermission | None:
    """The error that names them all; None if nothing is missing."""
    if not missing:
        return None
    on = "; ".join(f"{name}: {', '.join(privileges)}" for name, privileges in missing.items())
    return NoPermission(f"the account lacks privileges on {on}")
