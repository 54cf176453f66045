"""Settings of the operator's process: environment variables VCH_*, overridden by flags of the same names.

What concerns one VCH is in its VirtualContainerHost, not here.
"""

import contextlib
import re
import secrets
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from provider.tenure import Terms


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _identity() -> str:
    host = re.sub(r"[^a-z0-9-]", "-", socket.gethostname().lower())[:100].strip("-") or "replica"
    return f"{host}-{secrets.token_hex(4)}"


class NodeImpersonation(StrEnum):
    CONSTRAINED = "constrained"
    LEGACY = "legacy"


class Settings(BaseSettings):
    """Each field is the flag `--like-this` and the variable `VCH_LIKE_THIS`."""

    model_config = SettingsConfigDict(env_prefix="VCH_", frozen=True, extra="forbid")

    kubeconfig: Path | None = Field(None, description="kubeconfig file; without it the Pod's service account")
    namespace: str = Field("vch-system", description="namespace of the operator: credentials and CAs are Secrets there")
    kubelet_certificate: Path | None = Field(
        None,
        description="PEM certificate chain of the kubelet API (:10250), for all virtual nodes; "
        "without it each has its own of the cluster's signer kubernetes.io/kubelet-serving",
    )
    kubelet_key: Path | None = Field(
        None, validate_default=True, description="PEM private key of the kubelet API's certificate"
    )
    kubelet_client_ca: Path | None = Field(
        None, description="PEM CA of client certificates (the API server's); without it only bearer tokens"
    )
    kubelet_port: int = Field(10250, ge=1, le=65535, description="port of the kubelet API")
    pod_ip: str = Field(
        "",
        pattern=r"^([0-9]{1,3}(\.[0-9]{1,3}){3})?$",
        description="IPv4 address of this replica's Pod (status.podIP), where the kubelet API is served of each "
        "VirtualContainerHost that has no spec.node.address",
    )
    identity: str = Field(
        default_factory=_identity,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        max_length=200,
        description="name of this process among the replicas, never used twice; default: host name and a random suffix",
    )
    lease_duration: int = Field(
        15, ge=1, description="seconds after which a virtual node is taken over whose replica is silent"
    )
    lease_renew: float = Field(5.0, gt=0, description="seconds between renewals of what this replica holds")
    lease_retry: float = Field(2.0, gt=0, description="seconds between looks at what others hold")
    lease_margin: float = Field(
        3.0,
        gt=0,
        validate_default=True,
        description="seconds before the end of a Lease that was not renewed in which nothing is written",
    )
    vchs: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), description="names of the VirtualContainerHosts to run, comma separated; none: all"
    )
    guest_report_timeout: float = Field(
        300.0, gt=0, description="seconds after which a clone whose agent is silent is replaced"
    )
    node_impersonation: NodeImpersonation = Field(
        NodeImpersonation.LEGACY,
        description="how the operator acts as a virtual node: constrained (KEP-5284, Kubernetes 1.36 and later, by the "
        "right impersonate:arbitrary-node) or legacy (by the right impersonate)",
    )
    health_address: str = Field("", description="host:port for /healthz and /readyz; empty: none")
    metrics_address: str = Field("", description="host:port for Prometheus metrics; empty: none")
    revision: str = Field("", description="source revision that this was built from, for vch_build_info")
    log_format: LogFormat = Field(LogFormat.JSON, description="json or console")
    log_level: LogLevel = Field(LogLevel.INFO, description="debug, info, warning or error")

    @property
    def serving_files(self) -> tuple[Path, Path] | None:
        """Certificate and key of the kubelet API, if they are given."""
        return (self.kubelet_certificate, self.kubelet_key) if self.kubelet_certificate and self.kubelet_key else None

    @property
    def terms(self) -> Terms:
        return Terms(self.lease_duration, self.lease_renew, self.lease_retry, self.lease_margin)

    @field_validator("lease_margin")
    @classmethod
    def _leave_room(cls, margin: float, info: ValidationInfo) -> float:
        """Raises ValueError, which pydantic tells as the field's."""
        with contextlib.suppress(KeyError):  # another field is wrong, which is told already
            Terms(info.data["lease_duration"], info.data["lease_renew"], info.data["lease_retry"], margin)
        return margin

    @field_validator("kubelet_key")
    @classmethod
    def _with_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        """Raises ValueError."""
        if (key is None) != (info.data.get("kubelet_certificate") is None):
            raise ValueError("--kubelet-certificate and --kubelet-key are given both, or neither")
        return key

    @field_validator("vchs", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
