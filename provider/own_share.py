"""What of this process one virtual node costs: CPU time and memory, shared evenly by those that run in it.

A virtual node without Pods uses this and its parents' memory, never nothing: readers take zero for a failure.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class OwnShare:
    """One virtual node's. `nodes`: how many run here now. CPU time only grows, however many they become."""

    def __init__(self, nodes: Callable[[], int], used: Callable[[], float] = time.process_time) -> None:
        self._nodes = nodes
        self._used = used
        self._seen = 0.0
        self._seconds = 0.0

    def cpu_seconds(self) -> float:
        now = self._used()
        self._seconds += (now - self._seen) / max(1, self._nodes())
        self._seen = now
        return self._seconds

    def memory_bytes(self) -> int:
        """Resident memory; 0 where the machine does not tell."""
        try:
            return int(_STATM.read_text().split()[1]) * _PAGE // max(1, self._nodes())
        except (OSError, ValueError, IndexError):
            return 0
