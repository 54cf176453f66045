"""Holds the other services still through the freeze, so that they wake up in a machine that is the clone already.

Each thawed program first catches up with the time that it takes for gone: the kubelet alone does more work then than
the agent's whole thaw. Held, it neither slows that down nor sees the parent's clock, random numbers and names.

By the freezer of cgroup v2, which no process can notice or refuse; where there is none (a native guest on cgroup v1)
nothing is held. An agent that starts lets go of what one before it held.
"""

import logging
from pathlib import Path

log = logging.getLogger(__name__)

_UNITS = ("kubelet.service", "kube-proxy.service", "containerd.service")
_SLICE = Path("sys/fs/cgroup/system.slice")


def hold(root: Path) -> None:
    """Stop every process of the services."""
    _write(root, "1")


def release(root: Path) -> None:
    """Let them go on. Idempotent."""
    _write(root, "0")


def _write(root: Path, frozen: str) -> None:
    for unit in _UNITS:
        switch = root / _SLICE / unit / "cgroup.freeze"
        try:
            if switch.exists():
                switch.write_text(frozen)
        except OSError as error:
            log.warning("%s: %s", switch, error)  # slower, and no less right
