"""What all virtual nodes of this process share: the way to the API server, certificates, the clock. Values only."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from provider.catalog import Catalog
from provider.clock import Clock
from provider.fence import Fence
from provider.guest.routes import RouteTable
from provider.kube.client import KubeClient
from provider.kube.operator_objects import OperatorObjects
from provider.kube.policy_watch import Firewalls


@dataclass(frozen=True, slots=True)
class Process:
    """Made once, by `cli`."""

    client: KubeClient
    objects: OperatorObjects
    cluster: str  # UID of the namespace kube-system
    kubelet_certificate: tuple[Path, Path] | None  # and its key; None: the cluster's signer issues them
    kubelet_client_ca: Path | None
    kubelet_port: int
    pod_ip: str  # of this replica, where it runs in the cluster
    report_timeout: float  # seconds
    clock: Clock
    keep_signals: Callable[[], None]  # takes the process' signals back from kopf
    catalog: Catalog
    firewalls: Firewalls  # of all Pods
    fence: Fence  # shut, but in what `under` returns
    routes: RouteTable = field(default_factory=RouteTable)  # the cluster's Services, for guests

    def under(self, fence: Fence) -> "Process":
        """The same for one virtual node: whatever it writes, it writes only while the fence is open."""
        client = self.client.fenced(fence)
        return replace(self, client=client, objects=OperatorObjects(client, self.objects.namespace), fence=fence)
