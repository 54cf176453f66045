"""What all virtual nodes of this process share: the way to the API server, certificates, the clock. Values only."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from provider.clock import Clock
from provider.kube.client import KubeClient
from provider.kube.operator_objects import OperatorObjects


@dataclass(frozen=True, slots=True)
class Process:
    """Made once, by `cli`."""

    client: KubeClient
    objects: OperatorObjects
    cluster: str  # UID of the namespace kube-system
    tls: ssl.SSLContext  # of the kubelet API
    kubelet_port: int
    report_timeout: float  # seconds
    clock: Clock
    keep_signals: Callable[[], None]  # takes the process' signals back from kopf
