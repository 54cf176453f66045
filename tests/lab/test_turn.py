"""Turns at the machine: shared by those that share, and by nobody with one that wants to be alone."""

import fcntl
import threading
from pathlib import Path

from e2e.lab import turn

_SECONDS = 30  # to give up after


class Workers:
    """Threads in the place of processes: the locks are those of open files, so it is all the same to them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.order: list[str] = []
        self._threads: list[threading.Thread] = []

    def take(self, name: str, *, alone: bool) -> threading.Event:
        """Asks for a turn; it is over when the event is set."""
        end = threading.Event()

        def work() -> None:
            with turn.taken(self.folder, alone=alone):
                self.order.append(f"{name} begins")
                assert end.wait(_SECONDS)
                self.order.append(f"{name} ends")

        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()
        return end

    def until(self, *order: str) -> None:
        while tuple(self.order[-len(order) :]) != order:
            assert any(thread.is_alive() for thread in self._threads)

    def until_shut(self) -> None:
        """Somebody waits to be alone."""
        with (self.folder / "gate").open("w") as gate:
            while True:
                try:
                    fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                fcntl.flock(gate, fcntl.LOCK_UN)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(_SECONDS)


def test_those_that_share_run_side_by_side(tmp_path: Path) -> None:
    workers = Workers(tmp_path)
    first = workers.take("a", alone=False)
    workers.until("a begins")
    second = workers.take("b", alone=False)
    workers.until("a begins", "b begins")
    for end in (first, second):
        end.set()
    workers.join()


def test_one_that_waits_to_be_alone_is_not_overtaken(tmp_path: Path) -> None:
    workers = Workers(tmp_path)
    sharing = workers.take("a", alone=False)
    workers.until("a begins")
    alone = workers.take("quiet", alone=True)
    workers.until_shut()
    late = workers.take("b", alone=False)
    for end in (late, alone, sharing):
        end.set()
    workers.join()
    assert workers.order == ["a begins", "a ends", "quiet begins", "quiet ends", "b begins", "b ends"]
