"""A VirtualContainerHost of a test's own, with native guests: edited, broken and deleted without touching the others'.

It logs in by a Secret of its own, and has the last of the bridges' addresses.
"""

from dataclasses import dataclass
from typing import Any

from e2e.lab import simulator
from e2e.lab.vch_operator import HOSTS, NAMESPACE, made, pod_network
from e2e.tests import catalog
from e2e.tests.builders import make_secret
from e2e.tests.kube import Kube, KubeObject
from e2e.tests.running_lab import RunningLab


@dataclass(frozen=True, slots=True)
class OwnVCH:
    """The VCH of one name; `spec` members given to the methods are laid over the usual ones; None takes away."""

    lab: RunningLab
    kube: Kube
    name: str
    address: str | None = "127.0.0.11"  # None: the ClusterIP of a Service
    guests: str = "10.77.0.231-10.77.0.250"
    pods: str = "10.78.0.231-10.78.0.250"

    @property
    def folder(self) -> str:
        return f"{simulator.FOLDER}/{self.name}"

    @property
    def secret(self) -> str:
        return f"{self.name}-login"

    def object(self, **spec: Any) -> KubeObject:
        native = HOSTS["native"]
        usual: dict[str, Any] = {
            "vCenter": {
                "server": self.lab.simulator.address,
                "credentialsSecretRef": {"name": self.secret},
                "thumbprint": self.lab.simulator.thumbprint,
            },
            "placement": {"folder": self.folder, "resourcePool": simulator.POOL},
            "network": {"ranges": [self.guests], "prefixLength": 24, "gateway": "10.77.0.1"},
            "podNetwork": pod_network(self.pods),
            "template": {"images": [native.image], "classes": [native.image]},
            "limits": {"pods": 20},
            **({"node": {"address": self.address}} if self.address else {}),
        }
        for member, value in spec.items():
            usual[member] = _over(usual.get(member, {}), value) if isinstance(value, dict) else value
        return made("VirtualContainerHost", self.name, usual)

    def create(self, **spec: Any) -> None:
        """With its folder and its login."""
        self.lab.simulator.create_folder(self.name)
        self.log_in(simulator.USER, self.lab.simulator.password)
        self.apply(**spec)

    def apply(self, **spec: Any) -> None:
        self.kube.apply(self.object(**spec))

    def log_in(self, username: str, password: str) -> None:
        self.kube.within(NAMESPACE).apply(make_secret(self.secret, username=username, password=password))

    def until(self, condition: str, status: str, reason: str, *, says: str = "", timeout: float = 30) -> str:
        """The message of a condition, as soon as it is so and has these words."""

        def so(vch: KubeObject) -> bool:
            found = vch.get("status", {}).get("conditions", ())
            return any(
                (each["type"], each["status"], each["reason"]) == (condition, status, reason)
                and says in each["message"]
                for each in found
            )

        what = f"{condition}={status} ({reason})"
        vch = self.kube.until("virtualcontainerhost", self.name, so, timeout=timeout, what=what)
        (message,) = [each["message"] for each in vch["status"]["conditions"] if each["type"] == condition]
        return str(message)

    def ready(self, *, timeout: float = 30) -> None:
        self.until("Ready", "True", "VCHReady", timeout=timeout)

    def status(self) -> KubeObject:
        vch = self.kube.get("virtualcontainerhost", self.name)
        assert vch is not None
        return dict(vch.get("status") or {})

    def parents(self) -> list[KubeObject]:
        """Its ParentVM objects; one that was created this moment has no status yet, and is left out."""
        return catalog.parents(self.kube, self.name)

    def delete(self, *, timeout: float = 120) -> None:
        """Returns when it is gone."""
        self.kube.run(
            *("delete", "virtualcontainerhost", self.name, "--ignore-not-found", f"--timeout={timeout:.0f}s"),
            timeout=timeout + 30,
        )
        self.kube.run("delete", "secret", self.secret, f"--namespace={NAMESPACE}", "--ignore-not-found")


def _over(usual: KubeObject, value: KubeObject) -> KubeObject:
    return {name: part for name, part in {**usual, **value}.items() if part is not None}
