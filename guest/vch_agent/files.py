"""Whole-file writes: a reader sees the old content or the new, never half of it.

Not the state's format (`state`) nor the names of files (`settings`).
"""

import errno
import os
from pathlib import Path


def write(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Replace the file's content. Root only unless `mode` says otherwise.

    A file that is itself a mount point (/etc/hosts of a native guest) cannot be renamed over (EBUSY): it is written in
    place instead, which is not atomic.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # the umask applied to the open
        file.write(data)
    try:
        draft.rename(path)
    except OSError as error:
        draft.unlink()
        if error.errno != errno.EBUSY:
            raise
        path.write_bytes(data)


def read(path: Path) -> str | None:
    """The file's text, or None if there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def secret(path: Path) -> str:
    """A random text that the file keeps, made if it is not there. Raises OSError."""
    text = read(path)
    if text is None:
        text = os.urandom(32).hex()
        write(path, text)
    return text


def private_folder(path: Path) -> Path:
    """Make a folder that is root's alone, if it is not there."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path
