"""Where the laboratory of one checkout keeps its things. Names only; nothing is created here.

`run` is for people (kubeconfig, programs, logs), `state` for the programs (databases, disks, sockets): the latter has a
short path of its own, since the path of a unix socket may have 108 characters at most and a checkout lies anywhere.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

STATE_ROOT = Path("/var/lib/vch-lab")


@dataclass(frozen=True, slots=True)
class Paths:
    """All paths and names that follow from where the checkout is."""

    checkout: Path
    cache: Path
    run: Path

    @property
    def lab_id(self) -> str:
        """Six hex digits that tell the laboratories on one machine apart."""
        ours = self.checkout if self.run == self.checkout / ".run" else self.run
        return hashlib.sha256(str(ours).encode()).hexdigest()[:6]

    @property
    def namespace(self) -> str:
        return f"vch-{self.lab_id}"

    @property
    def state(self) -> Path:
        return STATE_ROOT / self.lab_id

    def beside(self, name: str) -> "Paths":
        """A further laboratory of the same checkout."""
        return replace(self, run=self.run.with_name(f"{self.run.name}-{name}"))

    def all(self) -> "list[Paths]":
        """This laboratory, and those beside it that have left a trace."""
        return [self, *(replace(self, run=run) for run in sorted(self.run.parent.glob(f"{self.run.name}-*")))]

    @property
    def logs(self) -> Path:
        return self.run / "logs"

    @property
    def bin(self) -> Path:
        return self.run / "bin"

    @property
    def pki(self) -> Path:
        return self.run / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.run / "kubeconfig"

    @property
    def operator_kubeconfig(self) -> Path:
        return self.run / "operator.kubeconfig"

    @property
    def govc_env(self) -> Path:
        return self.run / "govc.env"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.log"

    @property
    def lab_json(self) -> Path:
        return self.run / "lab.json"


def here() -> Paths:
    """The paths of the checkout that this file belongs to. `VCH_RUN` names another `.run`: a second laboratory."""
    checkout = Path(__file__).resolve().parents[2]
    named = os.environ.get("VCH_RUN")
    return Paths(checkout=checkout, cache=_cache(), run=Path(named).resolve() if named else checkout / ".run")


def _cache() -> Path:
    named = os.environ.get("VCH_CACHE")
    if named:
        return Path(named).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "virtual-kubelet-vch"
