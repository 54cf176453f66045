"""The cluster's DNS: the real CoreDNS as a process of the laboratory, behind the usual Service kube-system/kube-dns.

A Deployment would not do: its Pods would be on the virtual nodes, which need DNS themselves. It listens where Pods
reach it, on the gateway's address of their network. Only for the `local` cluster: kind has one in its own Pods, whose
addresses pod VMs do not reach.
"""

import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.lab import kubeconfig, kubectl, netns
from e2e.lab.paths import Paths
from e2e.lab.pki import Authority
from e2e.lab.state import State

ADDRESS = "10.96.0.10"
"""The Service's, where every cluster of kubeadm's has it."""
DOMAIN = "cluster.local"
_USER = "lab:coredns"
_READY = 8181  # on loopback
_COREFILE = """\
{domain}:53 {{
  bind {address}
  errors
  ready 127.0.0.1:{ready}
  kubernetes {{
    kubeconfig {kubeconfig}
  }}
}}
"""
"""Neither `forward` nor `cache`: there is no way out of the laboratory, and answers of the cluster's own domain are not
kept by kubeadm's CoreDNS either."""


@dataclass(frozen=True, slots=True)
class ClusterDNS:
    """CoreDNS of one laboratory."""

    paths: Paths
    state: State
    program: Path

    def start(self) -> None:
        """Starts it unless it runs; does not wait for it. Raises LabError if the API server refuses its objects."""
        kubectl.apply(self.paths, *_rights(), *_service())
        authority = Authority(self.paths.pki)
        certificate, key = authority.issue("coredns", _USER)
        own = kubeconfig.write(
            self.paths.pki / "coredns.kubeconfig",
            server=f"https://127.0.0.1:{self.state.facts['apiserver_port']}",
            ca=authority.certificate,
            certificate=certificate,
            key=key,
            user=_USER,
        )
        content = _COREFILE.format(domain=DOMAIN, address=netns.POD_GATEWAY, ready=_READY, kubeconfig=own)
        self._corefile.write_text(content)
        self._run()

    def wait_ready(self) -> None:
        """Returns when it knows the cluster's Services. Raises LabError if it ends before."""
        self._run(lambda: netns.inside(self.paths.namespace, _is_ready))

    @property
    def _corefile(self) -> Path:
        return self.paths.state / "Corefile"

    def _run(self, ready: Callable[[], bool] | None = None) -> None:
        argv = [str(self.program), "-conf", str(self._corefile)]
        self.state.start("coredns", argv, namespace=self.paths.namespace, ready=ready)


def _rights() -> Iterator[dict[str, Any]]:
    """What its `kubernetes` plugin watches, and nothing else. Pods are not: only `pods verified` needs them."""
    group = "rbac.authorization.k8s.io"
    watched = (("", ["services", "namespaces"]), ("discovery.k8s.io", ["endpointslices"]))
    yield {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _USER},
        "rules": [{"apiGroups": [each], "resources": kinds, "verbs": ["list", "watch"]} for each, kinds in watched],
    }
    yield {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _USER},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": _USER},
        "subjects": [{"apiGroup": group, "kind": "User", "name": _USER}],
    }


def _service() -> Iterator[dict[str, Any]]:
    """Without a selector: the endpoint is no Pod's."""
    ports = [
        {"name": name, "port": 53, "protocol": protocol} for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
    ]
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system"},
        "spec": {"clusterIP": ADDRESS, "ports": ports},
    }
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns-lab",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [netns.POD_GATEWAY]}],
        "ports": ports,
    }


def _is_ready() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", _READY, timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
