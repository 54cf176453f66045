"""The vCenter: the simulator with real guests, its templates, and `govc` for people and for us.

Everything here is said to the simulator as it would be said to a vCenter, through govc. Only `sim.guest`, which kind
of guest a VM gets, is the simulator's own. Parents are made of templates by the operator.
"""

import json
import os
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import netns, progress
from e2e.lab.errors import LabError
from e2e.lab.paths import Paths
from e2e.lab.state import State

USER = "administrator"
CONTROL = "127.0.0.1:8990"  # inside the namespace only: it can break things on purpose
POOL = "/DC0/host/DC0_C0/Resources"
FOLDER = "/DC0/vm"
MANAGEMENT = "VM Network"
"""The port group of every VM's first network card."""
PODS = "pods"
"""That of the second one: what is on it reaches its gateway only, and no other VM."""
PODS_OPEN = "pods-open"
"""The same network without that isolation."""
TEAM = "team"
"""Another network, in a VLAN of its own."""
SIMULATED_PORT = 10350
"""Of simulated guests, at the addresses of `netns.SIMULATED`."""
HOSTS = 3
"""ESXi hosts, DC0_C0_H0 and so on, of a size that only exists here: guests share what the machine has."""


@dataclass(frozen=True, slots=True)
class Template:
    """What parents are made of, and of which kind of guest they are."""

    name: str
    guest: str


SIMULATED_TEMPLATE = Template("template-simulated", "simulated")
"""Of guests that only pretend; `make up` makes no VirtualContainerHost of it, tests do."""


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
                    *("--ready-file", str(self._ready_file)),
                    *("--port-group", f"{MANAGEMENT}={netns.BRIDGE}"),
                    *("--port-group", f"{PODS}={netns.POD_BRIDGE},isolated"),
                    *("--port-group", f"{PODS_OPEN}={netns.POD_BRIDGE},vlan=78"),
                    *("--port-group", f"{TEAM}={netns.TEAM_BRIDGE},vlan=79"),
                    *("--cgroups", self.paths.namespace, "--simulated", f"0.0.0.0:{SIMULATED_PORT}"),
                    *("--hosts", str(HOSTS), "--host-cpus", "64", "--host-memory-mb", str(128 << 10)),
                    *("--user", USER, "--password", self.password),
                    *(part for guest, image in self.images.items() for part in (f"--{guest}-image", str(image))),
                ],
                namespace=self.paths.namespace,
                ready=self._ready_file.exists,
            )
        self._write_govc_env()

    def create_template(self, template: Template) -> None:
        """A VM template of that kind of guest, unless it is there."""
        if self.govc("find", FOLDER, "-type", "m", "-name", template.name).strip():
            return
        self.create_vm(template.name, template.guest, cpus=1, memory_mib=512)
        self.govc("vm.markastemplate", template.name)

    def create_vm(self, name: str, guest: str, *, cpus: int, memory_mib: int) -> None:
        """A VM of that kind of guest with two network cards, powered off."""
        adapter = ("-net.adapter", "vmxnet3")
        self.govc(
            *("vm.create", "-on=false", "-g", "otherLinux64Guest", "-net", MANAGEMENT, *adapter),
            *("-c", str(cpus), "-m", str(memory_mib), "-pool", POOL, "-folder", FOLDER, name),
        )
        self.govc("vm.network.add", "-vm", name, "-net", PODS, *adapter)
        self.govc("vm.change", "-vm", name, "-e", f"sim.guest={guest}")

    def create_folder(self, name: str) -> None:
        """A VM folder for a VCH, unless it is there."""
        folder = f"{FOLDER}/{name}"
        if not self.govc("ls", FOLDER).count(folder):
            self.govc("folder.create", folder)

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
