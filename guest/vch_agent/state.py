"""The fed objects on tmpfs, so that a restarted agent answers the kubelet at once and rightly.

Memory-backed on purpose: it holds the pod's Secrets, and after a reboot the provider must be asked again.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import files

log = logging.getLogger(__name__)

_FORMAT = 1


class State:
    """One file; changes made in one turn of the event loop are written together."""

    def __init__(self, path: Path, clone_id: str, export: Callable[[], list[dict[str, Any]]]) -> None:
        self._path = path
        self._clone_id = clone_id
        self._export = export
        self._due = False

    def changed(self) -> None:
        """Write soon."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self.save)

    def save(self) -> None:
        """Write now, whole."""
        self._due = False
        value = {"format": _FORMAT, "cloneId": self._clone_id, "objects": self._export()}
        try:
            files.write(self._path, json.dumps(value, separators=(",", ":")))
        except OSError as error:
            # Served from memory all the same; a restart would find the older state, which is worse than none.
            log.error("state is not saved: %s", error)
            self._path.unlink(missing_ok=True)

    def load(self) -> list[dict[str, Any]] | None:
        """The objects of this clone, or None: no file, another clone's, or unreadable."""
        text = files.read(self._path)
        if text is None:
            return None
        try:
            value = json.loads(text)
        except ValueError:
            log.warning("%s is damaged and ignored", self._path)
            return None
        if not isinstance(value, dict) or value.get("format") != _FORMAT or value.get("cloneId") != self._clone_id:
            return None
        objects = value.get("objects")
        return objects if isinstance(objects, list) else None

    def forget(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
