"""ClusterIPs in the laboratory's namespace: the real kube-proxy, as it runs on every node of a real cluster.

So the API server reaches virtual nodes whose address is that of a Service. Only for the `local` cluster: kind's nodes
have one of their own. Those in pod VMs are others: each has a namespace to itself.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import kubeconfig, netns
from e2e.lab.local_cluster import SERVICES
from e2e.lab.paths import Paths
from e2e.lab.pki import Authority
from e2e.lab.state import State

_USER = "system:kube-proxy"
"""Whom every cluster grants what kube-proxy watches."""
_NOWHERE = "192.0.2.0/32"


@dataclass(frozen=True, slots=True)
class KubeProxy:
    """kube-proxy of one laboratory."""

    paths: Paths
    state: State
    program: Path

    def start(self) -> None:
        """Starts it unless it runs; does not wait for it: it looks for the Node that it runs on for half a minute, and
        goes on without. One that runs is left alone: it ends when its configuration is written, were it the same."""
        if self.state.running("kube-proxy"):
            return
        authority = Authority(self.paths.pki)
        certificate, key = authority.issue("kube-proxy", _USER)
        own = kubeconfig.write(
            self.paths.pki / "kube-proxy.kubeconfig",
            server=f"https://127.0.0.1:{self.state.facts['apiserver_port']}",
            ca=authority.certificate,
            certificate=certificate,
            key=key,
            user=_USER,
        )
        place = self.paths.state / "kube-proxy.json"
        place.write_text(json.dumps(_configuration(own)))
        # There is no way out of the namespace. An address that no route leads to is refused before kube-proxy's rules
        # are asked.
        netns.route(self.paths.namespace, SERVICES)
        self.state.start("kube-proxy", [str(self.program), f"--config={place}"], namespace=self.paths.namespace)


def _configuration(own: Path) -> dict[str, object]:
    """JSON is YAML."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": netns.GATEWAY,
        "hostnameOverride": "laboratory",
        "clientConnection": {"kubeconfig": str(own)},
        "nodePortAddresses": [_NOWHERE],  # virtual nodes have no node ports, and this is no other node
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # The machine's, which a namespace may not set.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
