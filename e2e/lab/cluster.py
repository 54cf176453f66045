"""One Kubernetes cluster for the laboratory, from one of two providers behind the same few names.

`kind` where a Docker engine runs and its node image is to be had, else `local` (processes, no containers).
`VCH_CLUSTER` overrides. What is the same for both: `.run/kubeconfig` for the admin, an audit log, an API server that
reaches the virtual nodes' addresses and shows a client certificate there.
"""

import os
from pathlib import Path
from typing import Protocol

from e2e.lab import kind_cluster, local_cluster
from e2e.lab.errors import LabError
from e2e.lab.paths import Paths
from e2e.lab.state import State


class Cluster(Protocol):
    """What a provider of clusters gives."""

    def up(self) -> None:
        """Starts what does not run yet; returns when the API server is ready and `.run/kubeconfig` works."""

    def down(self) -> None:
        """Ends the cluster; nothing of it is left."""

    def kubelet_client_ca(self) -> Path:
        """The CA of the certificate that the API server shows to the kubelet API of a node."""


def decide(state: State) -> None:
    """Which provider this laboratory has from now on."""
    if "cluster" not in state.facts:
        name = os.environ.get("VCH_CLUSTER") or ("kind" if kind_cluster.possible() else "local")
        if name not in ("kind", "local"):
            raise LabError(f"VCH_CLUSTER={name}: there are kind and local")
        state.remember(cluster=name)


def provided(paths: Paths, state: State, kubernetes: Path) -> Cluster:
    """The cluster, from the provider that was decided on."""
    port = state.facts["apiserver_port"]
    if state.facts["cluster"] == "kind":
        return kind_cluster.KindCluster(paths, state, port)
    return local_cluster.LocalCluster(paths, state, kubernetes / "controlplane", port)
