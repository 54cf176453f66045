"""Settings of the operator's process: environment variables VCH_*, overridden by flags of the same names.

What concerns one VCH is in its VirtualContainerHost, not here.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Settings(BaseSettings):
    """Each field is the flag `--like-this` and the variable `VCH_LIKE_THIS`."""

    model_config = SettingsConfigDict(env_prefix="VCH_", frozen=True, extra="forbid")

    kubeconfig: Path | None = Field(None, description="kubeconfig file; without it the Pod's service account")
    namespace: str = Field("vch-system", description="namespace of the operator: credentials and CAs are Secrets there")
    kubelet_certificate: Path = Field(description="PEM certificate chain of the kubelet API (:10250)")
    kubelet_key: Path = Field(description="PEM private key of the kubelet API")
    kubelet_client_ca: Path | None = Field(
        None, description="PEM CA of client certificates (the API server's); without it only bearer tokens"
    )
    kubelet_port: int = Field(10250, ge=1, le=65535, description="port of the kubelet API")
    vchs: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), description="names of the VirtualContainerHosts to run, comma separated; none: all"
    )
    guest_report_timeout: float = Field(
        300.0, gt=0, description="seconds after which a clone whose agent is silent is replaced"
    )
    metrics_address: str = Field("", description="host:port for Prometheus metrics; empty: none")
    log_format: LogFormat = Field(LogFormat.JSON, description="json or console")
    log_level: LogLevel = Field(LogLevel.INFO, description="debug, info, warning or error")

    @field_validator("vchs", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value
