"""A real Kubernetes control plane without containers: etcd, API server, controller manager and scheduler as
processes.

The four are one program (`e2e/controlplane`), started here once for each component inside the laboratory's namespace.
What a cluster of kubeadm's would have and the virtual node depends on is as there: Node and RBAC authorisation,
NodeRestriction, signed service account tokens, and an API server that shows a client certificate to the kubelet API
and verifies the other side's against the same CA, with which kube-controller-manager signs the requests of virtual
nodes for theirs. It passes requests on to other API servers (aggregation), as to `metrics_server`'s. What a cluster's
nodes would do for ClusterIPs does `kube_proxy`.
"""

import http.client
import ssl
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import kubeconfig, kubectl, netns, progress
from e2e.lab.paths import Paths
from e2e.lab.pki import Authority
from e2e.lab.state import State

SERVICES, SERVICES6 = "10.96.0.0/16", "fd96::/108"
_FIRST_SERVICE = "10.96.0.1"
_ETCD = "http://127.0.0.1:2379"
_KUBELET_CLIENT = "kube-apiserver-kubelet-client"
_FRONT_PROXY = "front-proxy-client"
_AUDIT_POLICY = Path(__file__).with_name("audit-policy.yaml")


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """The control plane of one laboratory."""

    paths: Paths
    state: State
    program: Path
    port: int

    def up(self) -> None:
        """Starts what does not run yet; returns when the API server is ready and the first objects exist."""
        authority = Authority(self.paths.pki)
        self._kubeconfigs(authority)
        with progress.step("Starting the control plane"):
            self._etcd()
            self._apiserver(authority)
            self._controllers(authority)
            self._scheduler()
        self._grant_kubelets()

    def down(self) -> None:
        for name in ("kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
            self.state.stop(name, timeout=15)

    def kubelet_client_ca(self) -> Path:
        return Authority(self.paths.pki).certificate

    def _kubeconfigs(self, authority: Authority) -> None:
        server = f"https://127.0.0.1:{self.port}"
        for place, user, groups in (
            (self.paths.kubeconfig, "admin", ["system:masters"]),
            (self._kubeconfig("kube-controller-manager"), "system:kube-controller-manager", []),
            (self._kubeconfig("kube-scheduler"), "system:kube-scheduler", []),
        ):
            certificate, key = authority.issue(user.removeprefix("system:"), user, groups=groups)
            kubeconfig.write(
                place, server=server, ca=authority.certificate, certificate=certificate, key=key, user=user
            )

    def _kubeconfig(self, component: str) -> Path:
        return self.paths.pki / f"{component}.kubeconfig"

    def _start(self, component: str, *flags: str, port: int, path: str, tls: bool) -> None:
        self.state.start(
            component,
            [str(self.program), component, *flags],
            namespace=self.paths.namespace,
            ready=lambda: self._answers(port, path, tls=tls),
            timeout=120,
        )

    def _answers(self, port: int, path: str, *, tls: bool) -> bool:
        """Whether `GET path` inside the namespace gives 200."""
        return netns.inside(self.paths.namespace, lambda: _get_ok(port, path, tls=tls))

    def _etcd(self) -> None:
        self._start(
            "etcd",
            *("--name=lab", f"--data-dir={self.paths.state / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn"),
            *(f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}"),
            *("--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380"),
            "--initial-cluster=lab=http://127.0.0.1:2380",
            port=2379,
            path="/health",
            tls=False,
        )

    def _apiserver(self, authority: Authority) -> None:
        names = [f"DNS:kubernetes{rest}" for rest in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
        addresses = [f"IP:{address}" for address in ("127.0.0.1", netns.POD_GATEWAY, _FIRST_SERVICE)]
        serving = authority.issue("apiserver", "kube-apiserver", addresses=[*addresses, "DNS:localhost", *names])
        kubelet_client = authority.issue(_KUBELET_CLIENT, _KUBELET_CLIENT)
        front_proxy = Authority(self.paths.pki / "front-proxy", "vch-lab-front-proxy-ca")
        proxy_client = front_proxy.issue(_FRONT_PROXY, _FRONT_PROXY)
        public, private = authority.signing_pair("service-accounts")
        self._start(
            "kube-apiserver",
            f"--etcd-servers={_ETCD}",
            # The loopback address is for us, the bridge's for Pods, as the Service `kubernetes`: both are served.
            *("--bind-address=0.0.0.0", f"--secure-port={self.port}", f"--advertise-address={netns.POD_GATEWAY}"),
            *(f"--tls-cert-file={serving[0]}", f"--tls-private-key-file={serving[1]}"),
            f"--client-ca-file={authority.certificate}",
            f"--kubelet-certificate-authority={authority.certificate}",
            f"--kubelet-client-certificate={kubelet_client[0]}",
            f"--kubelet-client-key={kubelet_client[1]}",
            "--kubelet-preferred-address-types=InternalIP",
            *(f"--proxy-client-cert-file={proxy_client[0]}", f"--proxy-client-key-file={proxy_client[1]}"),
            f"--requestheader-client-ca-file={front_proxy.certificate}",
            f"--requestheader-allowed-names={_FRONT_PROXY}",
            *("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group"),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            *(f"--service-account-key-file={public}", f"--service-account-signing-key-file={private}"),
            f"--service-cluster-ip-range={SERVICES},{SERVICES6}",
            *(
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
            ),
            *(f"--audit-log-path={self.paths.audit_log}", f"--audit-policy-file={_AUDIT_POLICY}", "--profiling=false"),
            port=self.port,
            path="/readyz",
            tls=True,
        )

    def _controllers(self, authority: Authority) -> None:
        _, private = authority.signing_pair("service-accounts")
        own = self._kubeconfig("kube-controller-manager")
        self._start(
            "kube-controller-manager",
            *(f"--kubeconfig={own}", f"--authentication-kubeconfig={own}", f"--authorization-kubeconfig={own}"),
            *("--use-service-account-credentials", f"--service-account-private-key-file={private}"),
            f"--cluster-signing-cert-file={authority.certificate}",
            f"--cluster-signing-key-file={authority.key}",
            *(f"--root-ca-file={authority.certificate}", "--leader-elect=false", "--bind-address=127.0.0.1"),
            f"--service-cluster-ip-range={SERVICES},{SERVICES6}",
            port=10257,
            path="/healthz",
            tls=True,
        )

    def _scheduler(self) -> None:
        own = self._kubeconfig("kube-scheduler")
        self._start(
            "kube-scheduler",
            *(f"--kubeconfig={own}", f"--authentication-kubeconfig={own}", f"--authorization-kubeconfig={own}"),
            *("--leader-elect=false", "--bind-address=127.0.0.1"),
            port=10259,
            path="/readyz",
            tls=True,
        )

    def _grant_kubelets(self) -> None:
        """What kubeadm grants too: `kubectl exec` and `logs` come to the kubelet API as this user."""
        group = "rbac.authorization.k8s.io"
        binding = {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "lab:kube-apiserver:kubelets"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:kubelet-api-admin"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": _KUBELET_CLIENT}],
        }
        kubectl.apply(self.paths, binding)


def _get_ok(port: int, path: str, *, tls: bool) -> bool:
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = (
            False  # a health check on loopback: controller manager and scheduler sign for themselves
        )
        context.verify_mode = ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=5, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
