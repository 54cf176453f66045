"""The vCenter: the simulator with real guests, its parent VMs, and `govc` for people and for us.

Everything here is said to the simulator as it would be said to a vCenter, through govc. Only `sim.guest`, which kind
of guest a VM gets, is the simulator's own. Waiting for a parent to be frozen is a wait of the property collector, not
a loop.
"""

import json
import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import netns, progress
from e2e.lab.errors import LabError, tail
from e2e.lab.paths import Paths
from e2e.lab.state import State

USER = "administrator"
CONTROL = "127.0.0.1:8990"  # inside the namespace only: it can break things on purpose
POOL = "/DC0/host/DC0_C0/Resources"
FOLDER = "/DC0/vm"
_FREEZE_SECONDS = 600  # a parent boots for minutes where there is no KVM and the machine is busy


@dataclass(frozen=True, slots=True)
class Parent:
    """A VM that boots once, is frozen, and is cloned from then on."""

    name: str
    guest: str
    node: str
    cpus: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Simulator:
    """The simulator of one laboratory."""

    paths: Paths
    state: State
    program: Path
    images: dict[str, Path]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.state.facts['vcenter_port']}"

    @property
    def password(self) -> str:
        return str(self.state.facts["vcenter_password"])

    @property
    def thumbprint(self) -> str:
        return str(json.loads(self._ready_file.read_text())["thumbprint"])

    @property
    def control_url(self) -> str:
        """The control endpoint, which only the namespace can reach."""
        return f"http://{CONTROL}"

    def up(self) -> None:
        """Starts the simulator if it does not run; writes `.run/govc.env`."""
        if "vcenter_password" not in self.state.facts:
            self.state.remember(vcenter_password=secrets.token_urlsafe(18))
        folder = self.paths.state / "simulator"
        folder.mkdir(parents=True, exist_ok=True)
        if not self.state.running("simulator"):
            self._ready_file.unlink(missing_ok=True)
        with progress.step("Starting the vCenter simulator", quiet_under=0.5):
            self.state.start(
                "simulator",
                [
                    str(self.program),
                    *("--listen", self.address, "--control", CONTROL, "--state-dir", str(folder)),
                    *("--ready-file", str(self._ready_file), "--bridge", netns.BRIDGE),
                    *("--cgroups", self.paths.namespace),
                    *("--user", USER, "--password", self.password),
                    *(part for guest, image in self.images.items() for part in (f"--{guest}-image", str(image))),
                ],
                namespace=self.paths.namespace,
                ready=self._ready_file.exists,
            )
        self._write_govc_env()

    def create_parent(self, parent: Parent) -> None:
        """Makes and starts a parent VM, and a folder for the clones; those that exist are kept."""
        folder = f"{FOLDER}/{parent.node}"
        if not self.govc("ls", folder.rpartition("/")[0]).count(folder):
            self.govc("folder.create", folder)
        if self.govc("find", FOLDER, "-type", "m", "-name", parent.name).strip():
            return
        self.govc(
            *("vm.create", "-on=false", "-g", "otherLinux64Guest", "-net", "VM Network"),
            *("-c", str(parent.cpus), "-m", str(parent.memory_mb), "-pool", POOL, "-folder", FOLDER, parent.name),
        )
        told = json.dumps({"node": parent.node, "freeze": True}, separators=(",", ":"))
        self.govc(
            "vm.change", "-vm", parent.name, "-e", f"sim.guest={parent.guest}", "-e", f"guestinfo.vch.parent={told}"
        )
        self.govc("vm.power", "-on", parent.name)

    def wait_frozen(self, parent: Parent) -> None:
        """Returns when the parent is frozen: now it can be cloned."""
        with progress.step(f"Waiting for {parent.name} to boot and freeze", quiet_under=1):
            place = f"{FOLDER}/{parent.name}"
            try:
                self.govc("object.collect", place, "-runtime.instantCloneFrozen", "true", timeout=_FREEZE_SECONDS)
            except subprocess.TimeoutExpired:
                log = self.paths.logs / "simulator.log"
                raise LabError(f"{parent.name} did not freeze within {_FREEZE_SECONDS} s:\n{tail(log)}") from None

    def govc(self, *arguments: str, timeout: float = 60) -> str:
        """The output of govc, logged in to the simulator."""
        argv = [str(self.paths.bin / "govc"), *arguments]
        environment = {**os.environ, **self._environment()}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode != 0:
            raise LabError(f"govc {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    @property
    def _ready_file(self) -> Path:
        return self.paths.state / "simulator.ready"

    def _environment(self) -> dict[str, str]:
        return {
            "GOVC_URL": f"https://{self.address}/sdk",
            "GOVC_USERNAME": USER,
            "GOVC_PASSWORD": self.password,
            "GOVC_TLS_KNOWN_HOSTS": str(self.paths.run / "govc.known_hosts"),
            "GOVC_DATACENTER": "DC0",
            "GOVMOMI_HOME": str(self.paths.state / "govmomi"),
        }

    def _write_govc_env(self) -> None:
        (self.paths.run / "govc.known_hosts").write_text(f"{self.address} {self.thumbprint}\n")
        lines = [f"export {name}='{value}'" for name, value in self._environment().items()]
        lines.append(f'export PATH="{self.paths.bin}:$PATH"')
        self.paths.govc_env.touch(mode=0o600)
        self.paths.govc_env.write_text("\n".join(lines) + "\n")
