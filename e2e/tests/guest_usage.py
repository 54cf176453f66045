"""What a native guest uses, seen from outside: CPU time of its services, bytes at its management card.

CPU time is the guest's own cgroup's (agent, kubelet, containerd, kube-proxy; the Pod's containers are in another);
bytes are those of the bridge's port, whole frames. QEMU guests are one process, whose emulation would be counted too.
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e.lab.netns import BRIDGE
from e2e.tests.running_lab import RunningLab
from e2e.tests.virtual_machines import VM

_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Usage:
    """Since the guest began."""

    cpu: float  # seconds
    to_guest: int  # bytes
    from_guest: int

    def since(self, before: "Usage") -> "Usage":
        return Usage(self.cpu - before.cpu, self.to_guest - before.to_guest, self.from_guest - before.from_guest)


@dataclass(frozen=True, slots=True)
class Meter:
    """One guest's."""

    cgroup: str
    port: str

    @classmethod
    def of(cls, lab: RunningLab, vm: VM) -> "Meter":
        """Call it, and read, in the laboratory's network namespace."""
        card = lab.cards(vm["name"])[0]
        (port,) = {each["ifname"] for each in _told("bridge", "-j", "fdb", "show", "br", BRIDGE) if each["mac"] == card}
        return cls(f"{lab.laboratory.paths.namespace}-{vm['id']}/services", port)

    def read(self) -> Usage:
        (link,) = _told("ip", "-j", "-s", "link", "show", "dev", self.port)
        counted = link["stats64"]
        return Usage(self._cpu(), counted["tx"]["bytes"], counted["rx"]["bytes"])

    def _cpu(self) -> float:
        first = _CGROUPS / "cpuacct" / self.cgroup / "cpuacct.usage"
        if first.exists():
            return int(first.read_text()) / 1e9
        lines = (_CGROUPS / self.cgroup / "cpu.stat").read_text().splitlines()
        (microseconds,) = (int(line.split()[1]) for line in lines if line.startswith("usage_usec"))
        return microseconds / 1e6


def _told(*argv: str) -> list[dict]:
    told: list[dict] = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    return told
