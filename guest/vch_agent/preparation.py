"""Makes a setup true, step by step, and says of the step that fails what it was.

The record on the machine's own disk has what was asked for until now, so that a fork adds to its base, and a machine
that boots (also a clone, later) can repeat what only its memory knew.
"""

import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from . import files, kernel, plan, setup
from .kernel import CannotBoot
from .nic import NoInterface
from .plan import Step
from .process import ProgramFailed
from .setup import Setup
from .system import System

log = logging.getLogger(__name__)


class PreparationFailed(Exception):
    """A step could not be done; the message says which, of what, and why."""


@dataclass(frozen=True, slots=True)
class Record:
    """What this disk has been prepared for."""

    parent_id: str = ""
    base: Setup = field(default_factory=Setup)
    """Of the parents that this one was forked from."""
    own: Setup = field(default_factory=Setup)
    forked: bool = False
    boots: int = 0
    """Boots for kernel parameters that the kernel has not been seen with yet."""

    @property
    def effective(self) -> Setup:
        return self.own.merged(self.base)

    def now(self, parent_id: str, wanted: Setup) -> "Record":
        """The record of this parent with this setup. Another parent's becomes its base."""
        if parent_id == self.parent_id:
            return replace(self, own=wanted)
        forked = bool(self.parent_id)
        return Record(parent_id, self.effective, wanted, forked)


def load(lib: Path) -> Record:
    """The record; an empty one if there is none. One that is damaged counts for nothing."""
    try:
        told: dict[str, Any] = json.loads(files.read(_place(lib)) or "{}")
        return Record(
            parent_id=str(told.get("parentId", "")),
            base=setup.parse(told.get("base")),
            own=setup.parse(told.get("own")),
            forked=told.get("forked") is True,
            boots=int(told.get("boots", 0)),
        )
    except (ValueError, TypeError, AttributeError) as error:
        log.error("%s is damaged and ignored: %s", _place(lib), error)
        return Record()


def save(lib: Path, record: Record) -> None:
    """Raises OSError."""
    told = {
        "parentId": record.parent_id,
        "base": record.base.stored(),
        "own": record.own.stored(),
        "forked": record.forked,
        "boots": record.boots,
    }
    files.write(_place(lib), json.dumps(told, separators=(",", ":")))


Say = Callable[[str], Awaitable[None]]


async def _silence(_: str) -> None:
    pass


async def prepare(system: System, lib: Path, record: Record, steps: Iterable[Step], say: Say = _silence) -> Record:
    """Do the steps; the record as it is then. Does not return where a boot is needed, which is said before.

    Raises PreparationFailed.
    """
    connected = False
    try:
        for step in steps:
            log.info("%s", step.at)
            if isinstance(step, plan.Connect):
                connected = True  # or about to be
            if isinstance(step, plan.Boot):
                record = await _boot(system, lib, record, step, say)
                continue
            await _do(system, step)
            if isinstance(step, plan.Disconnect):
                connected = False
    except _FAILURES as error:
        raise PreparationFailed(f"{step.at}: {_words(error)}") from error
    finally:
        if connected:
            with contextlib.suppress(OSError):  # what failed before says more
                system.disconnect()
    return record


_FAILURES = (OSError, ProgramFailed, NoInterface, CannotBoot)


async def _boot(system: System, lib: Path, record: Record, step: plan.Boot, say: Say) -> Record:
    """Once: a kernel that comes back without the parameters will not have them the next time either."""
    wanted = kernel.missing(system.command_line(), step.parameters)
    if not wanted:
        record = replace(record, boots=0)
        save(lib, record)
        return record
    if record.boots:
        save(lib, replace(record, boots=0))
        raise CannotBoot(f"the kernel booted without {' '.join(wanted)}")
    save(lib, replace(record, boots=record.boots + 1))
    await say(f"booting the kernel with {' '.join(wanted)}")
    try:
        system.boot(step.parameters)
    except CannotBoot:
        save(lib, record)
        raise
    return record


async def _do(system: System, step: Step) -> None:
    match step:
        case plan.Write():
            system.write(step.path, step.content, step.mode)
        case plan.Trust():
            system.trust(step.bundle)
        case plan.Environment():
            if system.write(step.path, step.content, 0o600):
                await system.restart_containerd()
        case plan.LoadModule():
            await system.load_module(step.name)
        case plan.SetSysctl():
            system.set_sysctl(step.name, step.value)
        case plan.Connect():
            if not await system.holds(step.images):
                await system.connect(step.network)
        case plan.Pull():
            await system.pull(step.image, step.environment)
        case plan.Disconnect():
            system.disconnect()
        case plan.Boot():
            raise AssertionError("see _boot")


def _words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower() if error.filename is None else f"{error.filename}: {error.strerror.lower()}"
    return str(error)


def _place(lib: Path) -> Path:
    return lib / "setup.json"
