"""Where things are and which ports are used, from the environment; read once, frozen.

Not the pod's configuration: that comes from `identity` (guestinfo) and from `feed`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Platform(StrEnum):
    """What the guest is."""

    VM = "vm"
    """A machine of its own: its clock, init and cgroups are ours."""
    NATIVE = "native"
    """Processes in namespaces of a shared host (the simulator's native guest): its clock is not ours to set."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All fields have the value used in a pod VM as default; tests and native guests override a few."""

    root: Path = Path("/")
    """Everything below is looked up under this folder."""
    platform: Platform = Platform.VM
    rpctool: str = "vmware-rpctool"
    openssl: str = "openssl"
    ctr: str = "ctr"
    nic: str = ""
    """Name of the management network's card; empty: the first card."""
    pod_nic: str = ""
    """Name of the Pod's card; empty: the second."""
    cgroup_root: str = ""
    """Native guests only: the kubelet's cgroups go below this one, so that kubelets of one host do not meet."""
    api_port: int = 8001
    kubelet_port: int = 10250
    kubelet_healthz_port: int = 10248
    provider_port: int = 10350
    containerd_socket: str = "/run/containerd/containerd.sock"

    @property
    def run(self) -> Path:
        """tmpfs: state, tokens, the kubelet's configuration; gone after a reboot."""
        return self.root / "run/vch"

    @property
    def lib(self) -> Path:
        """The clone's own disk: key and certificate, so that the pinned fingerprint survives a reboot."""
        return self.root / "var/lib/vch"

    @property
    def etc(self) -> Path:
        """The guest's /etc."""
        return self.root / "etc"


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings with the `VCH_*` variables applied.

    Raises ValueError naming the variable that cannot be used.
    """

    def port(name: str, default: int) -> int:
        value = environment.get(name, "")
        if not value:
            return default
        if not value.isdecimal() or not 0 < int(value) < 65536:
            raise ValueError(f"{name}={value!r} is not a port (1-65535)")
        return int(value)

    defaults = Settings()
    platform = environment.get("VCH_PLATFORM") or Platform.VM
    if platform not in list(Platform):
        raise ValueError(f"VCH_PLATFORM={platform!r}: use one of {', '.join(Platform)}")
    return Settings(
        root=Path(environment.get("VCH_ROOT") or "/"),
        platform=Platform(platform),
        rpctool=environment.get("VCH_RPCTOOL") or defaults.rpctool,
        openssl=environment.get("VCH_OPENSSL") or defaults.openssl,
        ctr=environment.get("VCH_CTR") or defaults.ctr,
        nic=environment.get("VCH_NIC", ""),
        pod_nic=environment.get("VCH_POD_NIC", ""),
        cgroup_root=environment.get("VCH_CGROUP_ROOT", ""),
        api_port=port("VCH_API_PORT", defaults.api_port),
        kubelet_port=port("VCH_KUBELET_PORT", defaults.kubelet_port),
        kubelet_healthz_port=port("VCH_KUBELET_HEALTHZ_PORT", defaults.kubelet_healthz_port),
        provider_port=port("VCH_PROVIDER_PORT", defaults.provider_port),
        containerd_socket=environment.get("VCH_CONTAINERD_SOCKET") or defaults.containerd_socket,
    )
