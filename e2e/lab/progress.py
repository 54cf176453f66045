"""Tells the person waiting what is being done and for how long already.

On a terminal one line is rewritten each second; elsewhere (CI logs) a line comes at the start, every half minute and at
the end. Several may tell at once from threads; each line is written whole.
"""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

_TOLD_EVERY = 30.0  # seconds between lines that nobody can rewrite
_write_lock = threading.Lock()


def say(text: str) -> None:
    """One line, at once."""
    with _write_lock:
        sys.stdout.write(("\r\033[K" if sys.stdout.isatty() else "") + text + "\n")
        sys.stdout.flush()


@contextlib.contextmanager
def step(what: str, *, quiet_under: float = 0.0) -> Iterator[None]:
    """Says that `what` goes on until the block ends. A step over sooner than `quiet_under` seconds says nothing."""
    started = time.monotonic()
    done = threading.Event()
    teller = threading.Thread(target=_tell, args=(what, started, done, quiet_under), daemon=True)
    teller.start()
    try:
        yield
    except BaseException:
        _stop(teller, done)
        say(f"✗ {what} ({_duration(time.monotonic() - started)})")
        raise
    _stop(teller, done)
    took = time.monotonic() - started
    if took >= quiet_under:
        say(f"✓ {what} ({_duration(took)})")


def _stop(teller: threading.Thread, done: threading.Event) -> None:
    done.set()
    teller.join()


def _tell(what: str, started: float, done: threading.Event, quiet_under: float) -> None:
    terminal = sys.stdout.isatty()
    if done.wait(quiet_under):
        return
    if not terminal:
        say(f"… {what}")
    while not done.wait(1.0 if terminal else _TOLD_EVERY):
        passed = _duration(time.monotonic() - started)
        if terminal:
            with _write_lock:
                sys.stdout.write(f"\r\033[K… {what} ({passed})")
                sys.stdout.flush()
        else:
            say(f"… {what}, {passed} so far")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
