"""A named network namespace, and how to do something inside it.

A thread enters it and ends afterwards; a socket made there stays there, and a program started there lives there.
/proc/sys/net, too, is that of the thread which opens it. By libc: `os.setns` is Python 3.12's. Not a container: every
other namespace is the agent's own.
"""

import asyncio
import concurrent.futures
import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from .process import ProgramFailed

_CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
_MS_BIND = 0x1000  # include/uapi/linux/mount.h
_WITHIN = 60.0

T = TypeVar("T")


class Namespace:
    """The one mounted at `path`, as iproute2 and CNI plugins find it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether a namespace is mounted there."""
        try:
            return self.path.stat().st_dev == Path("/proc/self/ns/net").stat().st_dev
        except FileNotFoundError:
            return False

    def make(self) -> bool:
        """Have it there; whether it was not. Raises OSError."""
        if self.exists():
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.path.touch(0o444)

        def mount() -> None:
            _check(_libc().unshare(_CLONE_NEWNET))
            _check(_libc().mount(b"/proc/thread-self/ns/net", os.fsencode(self.path), None, _MS_BIND, None))

        _started(mount).result()
        return True

    def call(self, function: Callable[[], T]) -> T:
        """What `function` returns or raises inside; it must not wait for anything. Raises OSError."""
        return _started(lambda: self._inside(function)).result()

    async def run(self, arguments: Sequence[str], text: str = "") -> str:
        """A program inside, given `text`; its standard output. Raises ProgramFailed."""

        def program() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                list(arguments), input=text, capture_output=True, text=True, timeout=_WITHIN, check=False
            )

        try:
            done = await asyncio.wrap_future(_started(lambda: self._inside(program)))
        except subprocess.TimeoutExpired:
            raise ProgramFailed(f"{arguments[0]} did not end within {_WITHIN:.0f} s") from None
        except OSError as error:
            raise ProgramFailed(f"{arguments[0]} cannot be run: {error}") from error
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise ProgramFailed(f"{arguments[0]} ended with {done.returncode}: {said[0] if said else 'no message'}")
        return done.stdout

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of it, for moving interfaces there. Raises OSError."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _inside(self, function: Callable[[], T]) -> T:
        with self.opened() as descriptor:
            _check(_libc().setns(descriptor, _CLONE_NEWNET))
        return function()


def _started(work: Callable[[], T]) -> "concurrent.futures.Future[T]":
    """In a thread of its own, which no executor uses again."""
    done: concurrent.futures.Future[T] = concurrent.futures.Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
