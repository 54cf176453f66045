"""What goes wrong in the laboratory, said to the person in front of it: always with the remedy where there is one."""

from pathlib import Path


class LabError(Exception):
    """Something the user has to know; printed without a traceback."""


def tail(path: Path, lines: int = 25) -> str:
    """The end of a log file, for an error message."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        return f"(no log: {error})"
    return "\n".join(f"  | {line}" for line in text.splitlines()[-lines:])
