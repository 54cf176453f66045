"""The laboratory as the tests use it: the operator can be killed and started, govc asked, the audit log read.

Bringing it up and down is `e2e.lab`'s business and `conftest`'s.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import kubectl
from e2e.lab.laboratory import Laboratory
from e2e.lab.process import Process
from e2e.lab.simulator import FOLDER, Simulator
from e2e.lab.vch_operator import HOSTS, Operator
from e2e.tests.kube import Kube, NeverHappened


@dataclass(frozen=True, slots=True)
class RunningLab:
    """A laboratory that is up, with an operator and both kinds of guests."""

    laboratory: Laboratory

    @property
    def simulator(self) -> Simulator:
        assert self.laboratory.simulator is not None
        return self.laboratory.simulator

    @property
    def operator(self) -> Operator:
        assert self.laboratory.operator is not None
        return self.laboratory.operator

    @property
    def audit_log(self) -> Path:
        return self.laboratory.paths.audit_log

    @property
    def operator_log(self) -> Path:
        return self.laboratory.paths.logs / "operator.log"

    @property
    def kubectl(self) -> Path:
        return self.laboratory.paths.bin / "kubectl"

    @property
    def kubeconfig(self) -> Path:
        return self.laboratory.paths.kubeconfig

    def node(self, guest: str) -> str:
        """The virtual node whose pod VMs have this kind of guest."""
        return HOSTS[guest].name

    def parent(self, guest: str, *, timeout: float = 120) -> str:
        """The inventory path of a parent VM of this kind of guest, as soon as one can be cloned."""
        deadline = time.monotonic() + timeout
        selector = f"--selector=vch.dev/vch={self.node(guest)}"
        while True:
            listed = kubectl.run(self.laboratory.paths, "get", "parentvms", selector, "--output=json")
            for parent in json.loads(listed)["items"]:
                conditions = {each["type"]: each["status"] for each in parent.get("status", {}).get("conditions", ())}
                if conditions.get("Ready") == "True" and not parent["spec"].get("namespace"):
                    return f"{FOLDER}/{self.node(guest)}/{parent['status']['vmName']}"
            if time.monotonic() > deadline:
                raise NeverHappened(f"{self.node(guest)} has no parent that can be cloned after {timeout} s")
            time.sleep(0.5)

    def govc(self, *arguments: str) -> str:
        return self.simulator.govc(*arguments)

    def kill_operator(self) -> None:
        """SIGKILL, as a crash or a lost machine."""
        self.operator.kill()

    def start_operator(self) -> Process:
        """Starts the operator again; it works at once, so nothing is waited for."""
        return self.operator.start(self.laboratory.cluster)

    def until_exec_works(self, kube: Kube, pod: str, *, timeout: float = 60) -> None:
        """Returns when the virtual node serves the Pod again: there is no event to wait for on that."""
        deadline = time.monotonic() + timeout
        while kube.run("exec", pod, "--", "true", check=False).returncode != 0:
            if time.monotonic() > deadline:
                raise NeverHappened(f"kubectl exec into {pod} did not work within {timeout} s")
            time.sleep(0.2)
