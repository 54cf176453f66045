"""Turns at the machine, for tests that run side by side in processes: most share it, one that measures does not.

flock(2) lets those that share overtake one that waits to be alone; so all come through a gate, which it holds shut.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def taken(folder: Path, *, alone: bool) -> Iterator[None]:
    """Waits for the turn, which lasts until the block ends. Whoever is to take turns names the same folder."""
    with (folder / "gate").open("w") as gate, (folder / "machine").open("w") as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield
