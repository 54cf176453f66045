"""Expensive things are made once and kept outside the checkout, one folder for each, named by what went into it.

An entry appears at once and whole (built beside its place, then renamed). A lock file lets two checkouts that need
the same entry make it once: the second waits and finds it. Entries are never changed; a new input is a new name.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from e2e.lab import progress


def key(name: str, *inputs: str | bytes | Path) -> str:
    """`name-<hash>`; a file counts with its content, a folder with the names and contents of all files below it."""
    digest = hashlib.sha256()
    for value in inputs:
        for part in _parts(value):
            digest.update(hashlib.sha256(part).digest())
    return f"{name}-{digest.hexdigest()[:12]}"


def entry(root: Path, key: str, make: Callable[[Path], None]) -> Path:
    """The folder `root/key`, made by `make(folder)` if it is not there yet."""
    place = root / key
    if place.is_dir():
        return place
    root.mkdir(parents=True, exist_ok=True)
    with locked(root / f"{key}.lock", waiting_for=key):
        if place.is_dir():
            return place
        unfinished = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=root))
        try:
            make(unfinished)
            unfinished.chmod(0o755)
            unfinished.rename(place)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    return place


def entry_in_place(place: Path, make: Callable[[Path], None]) -> Path:
    """As `entry`, for what cannot be moved once it is made: a marker in the folder says that it is whole."""
    marker = place / ".complete"
    if marker.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.with_name(f"{place.name}.lock"), waiting_for=place.name):
        if not marker.exists():
            shutil.rmtree(place, ignore_errors=True)
            make(place)
            marker.touch()
    return place


@contextlib.contextmanager
def locked(path: Path, *, waiting_for: str) -> Iterator[None]:
    """Holds the lock file; says so when another process has it."""
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step(f"Waiting for another process that is making {waiting_for}"):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _parts(value: str | bytes | Path) -> Iterable[bytes]:
    match value:
        case bytes():
            yield value
        case str():
            yield value.encode()
        case Path() if value.is_dir():
            for file in sorted(path for path in value.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
                yield str(file.relative_to(value)).encode()
                yield file.read_bytes()
        case Path():
            yield value.read_bytes()
