"""A cluster of kind (Kubernetes in Docker), joined to the laboratory's bridge.

Written with care and **not run** where this project was built: there no Docker engine can run kind's privileged node.
The node container gets a veth to the bridge, so that its API server reaches the virtual nodes; the API server's port
is offered inside the namespace by `forward`, so that the same kubeconfig works on both sides. What the local cluster
does besides and this one does not: verify the kubelet API's serving certificate (kubeadm's API server is not told
to); be reached by Pods of virtual nodes, neither its API server nor its DNS.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import build, kubectl, netns, progress, venv
from e2e.lab.errors import LabError
from e2e.lab.paths import Paths
from e2e.lab.state import State

IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
_ADDRESS = "10.77.0.10"  # of the node container on the bridge, below the guests' range
_POLICY = Path(__file__).with_name("audit-policy.yaml")
_PULL_SECONDS = 600


def possible() -> bool:
    """Whether a Docker engine answers and has the node image, or can get it."""
    if shutil.which("docker") is None or not _docker("info", timeout=20):
        return False
    if _docker("image", "inspect", IMAGE, timeout=20):
        return True
    with progress.step(f"Pulling {IMAGE.partition('@')[0]}", quiet_under=2):
        return _docker("pull", "--quiet", IMAGE, timeout=_PULL_SECONDS)


@dataclass(frozen=True, slots=True)
class KindCluster:
    """A kind cluster named as the laboratory's namespace."""

    paths: Paths
    state: State
    port: int

    def up(self) -> None:
        if self.paths.namespace not in self._kind("get", "clusters").split():
            with progress.step("Creating a kind cluster"):
                self._create()
        self.paths.kubeconfig.touch(mode=0o600)
        self.paths.kubeconfig.write_text(self._kind("get", "kubeconfig", "--name", self.paths.namespace))
        self._join_bridge()
        self._offer_inside()
        self._keep_daemon_sets_off()

    def down(self) -> None:
        self.state.stop("forward-kind")
        self._kind("delete", "cluster", "--name", self.paths.namespace)

    def kubelet_client_ca(self) -> Path:
        place = self.paths.pki / "kind-ca.crt"
        place.write_text(build.run(["docker", "exec", self._container, "cat", "/etc/kubernetes/pki/ca.crt"]))
        return place

    @property
    def _container(self) -> str:
        return f"{self.paths.namespace}-control-plane"

    def _create(self) -> None:
        config = self.paths.state / "kind.json"
        config.write_text(json.dumps(self.config()))
        self._kind("create", "cluster", "--name", self.paths.namespace, "--image", IMAGE, "--config", str(config),
                   "--kubeconfig", str(self.paths.kubeconfig), "--wait", "180s")  # fmt: skip

    def config(self) -> dict[str, object]:
        """What kind is told, as its own API has it (v1alpha4)."""
        arguments = {
            "audit-policy-file": "/etc/kubernetes/audit/policy.yaml",
            "audit-log-path": "/var/log/lab/audit.log",
        }
        volumes = [
            {
                "name": "audit",
                "hostPath": "/etc/kubernetes/audit",
                "mountPath": "/etc/kubernetes/audit",
                "readOnly": True,
            },
            {"name": "audit-log", "hostPath": "/var/log/lab", "mountPath": "/var/log/lab"},
        ]
        kubeadm = {
            "kind": "ClusterConfiguration",
            "apiServer": {
                "extraArgs": [{"name": name, "value": value} for name, value in arguments.items()],
                "extraVolumes": volumes,
            },
        }
        mounts = [
            {"hostPath": str(_POLICY), "containerPath": "/etc/kubernetes/audit/policy.yaml", "readOnly": True},
            {"hostPath": str(self.paths.logs), "containerPath": "/var/log/lab"},
        ]
        return {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {"apiServerAddress": "127.0.0.1", "apiServerPort": self.port},
            "nodes": [{"role": "control-plane", "extraMounts": mounts, "kubeadmConfigPatches": [json.dumps(kubeadm)]}],
        }

    def _join_bridge(self) -> None:
        """A veth from the node container to the bridge, if it has none yet."""
        pid = build.run(["docker", "inspect", "--format", "{{.State.Pid}}", self._container]).strip()
        if not Path(f"/proc/{pid}/ns/net").exists():
            raise LabError("the Docker engine runs in a VM or as another user. Remedy: VCH_CLUSTER=local make up")
        inside = ["nsenter", f"--net=/proc/{pid}/ns/net", "--", "ip"]
        if subprocess.run([*inside, "link", "show", "lab0"], capture_output=True, check=False).returncode == 0:
            return
        lab = ["ip", "-n", self.paths.namespace]
        build.run([*lab, "link", "add", "kind0", "type", "veth", "peer", "name", "lab0", "netns", pid])
        build.run([*lab, "link", "set", "kind0", "master", netns.BRIDGE, "up"])
        build.run([*inside, "address", "add", f"{_ADDRESS}/{netns.PREFIX_LENGTH}", "dev", "lab0"])
        build.run([*inside, "link", "set", "lab0", "up"])

    def _offer_inside(self) -> None:
        ready = self.paths.state / "forward-kind.ready"
        if not self.state.running("forward-kind"):
            ready.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "e2e.lab.forward", "--from", self.paths.namespace, "--ready", str(ready)]
        self.state.start("forward-kind", [*argv, str(self.port)], env=venv.environment(self.paths), ready=ready.exists)

    def _keep_daemon_sets_off(self) -> None:
        """kind's own DaemonSets tolerate every taint, and want what a virtual node refuses (host network)."""
        not_virtual = {"key": "type", "operator": "NotIn", "values": ["virtual-kubelet"]}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [not_virtual]}]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
        patch = json.dumps({"spec": {"template": {"spec": {"affinity": affinity}}}})
        for name in ("kindnet", "kube-proxy"):
            kubectl.run(self.paths, "-n", "kube-system", "patch", "daemonset", name, "--patch", patch)

    def _kind(self, *arguments: str) -> str:
        return build.run([str(build.kind(self.paths)), *arguments], env=dict(os.environ))


def _docker(*arguments: str, timeout: float) -> bool:
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
