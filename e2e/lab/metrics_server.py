"""The real metrics-server as a process of the laboratory, behind the Service and the APIService of its own manifests.

Account, rights and arguments are those of its release (manifests/base), so what works here needs nothing beside that.
Two things are not: its certificate is the laboratory's CA's, so that the API server checks it, and its endpoint is no
Pod's, since the only nodes that there are, are virtual. It is started by the tests that need it, since it asks every
virtual node four times a minute.
"""

import base64
import http.client
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from e2e.lab import build, kubectl, netns
from e2e.lab.paths import Paths
from e2e.lab.pki import Authority
from e2e.lab.state import State

_NAME, _NAMESPACE = "metrics-server", "kube-system"
_SERVED_AS = f"{_NAME}.{_NAMESPACE}.svc"
_API = "v1beta1.metrics.k8s.io"
_PORT = 4443  # its manifest's is 10250, which is the virtual nodes' here
_RBAC = "rbac.authorization.k8s.io"
_READY_SECONDS = 180


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """metrics-server of one laboratory."""

    paths: Paths
    state: State

    def start(self) -> None:
        """Returns when the API server serves metrics.k8s.io. Call it in the laboratory's network namespace."""
        kubectl.apply(self.paths, *_rights(), *_service())
        authority = Authority(self.paths.pki)
        certificate, key = authority.issue(_NAME, _NAME, addresses=[f"DNS:{_SERVED_AS}", f"IP:{netns.GATEWAY}"])
        own = kubectl.write_kubeconfig(self.paths, self.paths.pki / f"{_NAME}.kubeconfig", _NAMESPACE, _NAME)
        self.state.start(
            _NAME,
            [
                str(build.metrics_server(self.paths)),
                # As a Pod it needs none of these: whom to ask and what to trust is in its volumes.
                *(f"--{each}kubeconfig={own}" for each in ("", "authentication-", "authorization-")),
                *(f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"),
                *(f"--bind-address={netns.GATEWAY}", f"--secure-port={_PORT}"),
                *("--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname", "--kubelet-use-node-status-port"),
                "--metric-resolution=15s",
            ],
            namespace=self.paths.namespace,
            ready=lambda: _serves(authority),
            timeout=_READY_SECONDS,
        )
        kubectl.apply(self.paths, _api_service(authority))
        kubectl.run(
            *(self.paths, "wait", "--for=condition=Available", f"apiservice/{_API}", f"--timeout={_READY_SECONDS}s")
        )

    def stop(self) -> None:
        """First the API, then who serves it: with one that does not answer, no namespace could be deleted."""
        kubectl.run(self.paths, "delete", "apiservice", _API, "--ignore-not-found")
        self.state.stop(_NAME)


def _rights() -> Iterator[dict[str, Any]]:
    account = {"name": _NAME, "namespace": _NAMESPACE}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}
    yield {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:metrics-server"},
        "rules": [
            {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]},
        ],
    }
    for kind, name, role in (
        ("ClusterRole", "system:metrics-server", "system:metrics-server"),
        ("ClusterRole", "metrics-server:system:auth-delegator", "system:auth-delegator"),
        ("Role", "metrics-server-auth-reader", "extension-apiserver-authentication-reader"),
    ):
        place = {"namespace": _NAMESPACE} if kind == "Role" else {}
        yield {
            "apiVersion": f"{_RBAC}/v1",
            "kind": f"{kind}Binding",
            "metadata": {"name": name, **place},
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", **account}],
        }


def _service() -> Iterator[dict[str, Any]]:
    """Without a selector: the endpoint is no Pod's."""
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _NAME, "namespace": _NAMESPACE},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": _PORT}]},
    }
    yield {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{_NAME}-lab",
            "namespace": _NAMESPACE,
            "labels": {"kubernetes.io/service-name": _NAME},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [netns.GATEWAY]}],
        "ports": [{"name": "https", "port": _PORT}],
    }


def _api_service(authority: Authority) -> dict[str, Any]:
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": _API},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "service": {"name": _NAME, "namespace": _NAMESPACE},
            "caBundle": base64.b64encode(authority.certificate.read_bytes()).decode(),
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        },
    }


def _serves(authority: Authority) -> bool:
    """Not whether it is ready: it never is while there is no Pod, which in a cluster it is itself."""
    trusted = ssl.create_default_context(cafile=str(authority.certificate))
    connection = http.client.HTTPSConnection(netns.GATEWAY, _PORT, timeout=5, context=trusted)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
