"""The operator as a process of the laboratory, and what it finds in the cluster: what the chart makes, a Secret, its
VirtualContainerHosts.

A Deployment in the cluster would not do here: the only nodes that there are, are the ones it makes. The process has the
account, the rights and the settings of the chart's Deployment.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.lab import chart, cluster_dns, kubectl, netns, process, progress, simulator, venv
from e2e.lab.cluster import Cluster
from e2e.lab.paths import Paths
from e2e.lab.process import Process
from e2e.lab.simulator import Simulator, Template
from e2e.lab.state import State

NAMESPACE = chart.NAMESPACE
REGISTRY = "vch.dev"
"""What the test images' names say: there is no such host, only the laboratory's mirror of it."""
METRICS = "127.0.0.1:9464"
"""Of the operator, inside the namespace; further replicas have none."""
HEALTH = "127.0.0.1:8081"
"""Its probes, likewise."""
_CREDENTIALS = "vcenter-credentials"
_READY_SECONDS = 600  # a parent boots for minutes where there is no KVM and the machine is busy


@dataclass(frozen=True, slots=True)
class Host:
    """A VirtualContainerHost of the laboratory: one image, one class, and a share of the bridges' addresses."""

    name: str
    address: str
    guests: str
    pods: str
    template: Template
    cpus: int
    memory: str
    hosts: tuple[str, ...] = ()  # empty: all

    @property
    def image(self) -> str:
        """Name of its PodVMImage; its PodVMClass has the same."""
        return self.template.guest


HOSTS = {
    "qemu": Host(
        *("vch-qemu", "10.77.0.2", "10.77.0.16-10.77.0.110", "10.78.0.16-10.78.0.110"),
        *(Template("template-qemu", "qemu"), 1, "512Mi"),
        hosts=("DC0_C0_H0",),
    ),
    "native": Host(
        *("vch-native", "10.77.0.3", "10.77.0.111-10.77.0.205", "10.78.0.111-10.78.0.205"),
        *(Template("template-native", "native"), 2, "2Gi"),
    ),
}
"""By the kind of guest: real VMs (`qemu`) are what the demonstration shows, `native` ones are for fast tests. A
parent that is a real VM takes its memory and boots for a while: one host has one. The bridges' addresses from
10.77.0.206 and 10.78.0.206 to .250 are for clones and VirtualContainerHosts that tests make themselves."""

POD_IPS = {"operator": "10.77.0.4", "operator-left": "10.77.0.5", "operator-right": "10.77.0.6"}
"""Of the replicas, which are no Pods: where they serve virtual nodes that have no address of their own."""


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator of one laboratory."""

    paths: Paths
    state: State
    python: Path

    def prepare(self) -> None:
        """Installs what the chart makes, and logs its account in."""
        chart.install(self.paths)
        chart.write_kubeconfig(self.paths, self.paths.operator_kubeconfig)

    def start(self, cluster: Cluster, replica: str = "operator", **settings: str) -> Process:
        """Starts a replica of the operator if it does not run. It is ready when its VirtualContainerHosts are."""
        return self.state.start(
            replica,
            [str(self.python), "-m", "provider"],
            namespace=self.paths.namespace,
            env={**venv.environment(self.paths), **self.settings(cluster, replica), **settings},
        )

    def settings(self, cluster: Cluster, replica: str = "operator") -> dict[str, str]:
        """The variables of a replica's process."""
        return {
            **chart.settings(self.paths),
            "VCH_KUBECONFIG": str(self.paths.operator_kubeconfig),
            "VCH_POD_IP": POD_IPS[replica],
            "VCH_KUBELET_CLIENT_CA": str(cluster.kubelet_client_ca()),
            "VCH_LOG_FORMAT": "console",
            "NO_COLOR": "1",
            # Replicas share the namespace of the network here.
            "VCH_METRICS_ADDRESS": METRICS if replica == "operator" else "",
            "VCH_HEALTH_ADDRESS": HEALTH if replica == "operator" else "",
        }

    def stop(self, replica: str = "operator") -> bool:
        """Ends it as a Deployment would. True if it went when it was asked to."""
        return self.state.stop(replica, timeout=30)

    def kill(self, replica: str = "operator") -> None:
        """Ends it as a crash would."""
        running = self.state.running(replica)
        if running:
            process.kill(running)

    def apply_host(self, host: Host, vcenter: Simulator) -> None:
        """A VirtualContainerHost with what it refers to: template, folder, Secret, image and class."""
        login = {"username": simulator.USER, "password": vcenter.password}
        vcenter.create_template(host.template)
        vcenter.create_folder(host.name)
        kubectl.apply(self.paths, _secret(login), *catalog(host), virtual_container_host(host, vcenter))

    def wait_ready(self, host: Host) -> None:
        with progress.step(f"Waiting for {host.name} to be ready", quiet_under=1):
            kubectl.run(
                *(self.paths, "wait", "--for=condition=Ready", f"virtualcontainerhost/{host.name}"),
                f"--timeout={_READY_SECONDS}s",
            )
            kubectl.run(
                self.paths, "wait", "--for=condition=Ready", f"node/{host.name}", f"--timeout={_READY_SECONDS}s"
            )

    def remove_hosts(self) -> None:
        """Deletes the VirtualContainerHosts, so that the operator ends their nodes; not an error if it cannot."""
        with contextlib.suppress(Exception):
            kubectl.run(self.paths, "delete", "virtualcontainerhosts", "--all", "--timeout=20s")


def _secret(login: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/basic-auth",
        "metadata": {"name": _CREDENTIALS, "namespace": NAMESPACE},
        "stringData": login,
    }


def catalog(host: Host) -> tuple[dict[str, Any], dict[str, Any]]:
    """The PodVMImage and the PodVMClass of a laboratory's VCH."""
    image = {"source": {"inventoryTemplate": host.template.name}}
    size = {"cpus": host.cpus, "memory": host.memory, "overhead": {"memory": "192Mi"}}
    return made("PodVMImage", host.image, image), made("PodVMClass", host.image, size)


def virtual_container_host(host: Host, vcenter: Simulator) -> dict[str, Any]:
    return made(
        "VirtualContainerHost",
        host.name,
        {
            "vCenter": {
                "server": vcenter.address,
                "credentialsSecretRef": {"name": _CREDENTIALS},
                "thumbprint": vcenter.thumbprint,
            },
            "placement": {
                "folder": f"{simulator.FOLDER}/{host.name}",
                "resourcePool": simulator.POOL,
                **({"hosts": list(host.hosts)} if host.hosts else {}),
            },
            "network": {
                "ranges": [host.guests],
                "prefixLength": 24,
                "gateway": "10.77.0.1",
                "clusterDNS": {"servers": [cluster_dns.ADDRESS], "domain": cluster_dns.DOMAIN},
            },
            "podNetwork": pod_network(host.pods),
            "template": {"images": [host.image], "classes": [host.image]},
            "limits": {"cpu": "32", "memory": "64Gi", "pods": 60},
            "registries": {"mirrors": [{"registry": REGISTRY, "endpoints": [f"http://{netns.REGISTRY}"]}]},
            "node": {"address": host.address},
        },
    )


def pod_network(ranges: str) -> dict[str, Any]:
    """`spec.podNetwork` with those addresses of the laboratory's network for Pods."""
    return {
        "portGroup": simulator.PODS,
        "ranges": [ranges],
        "prefixLength": 24,
        "gateway": "10.78.0.1",
        "isolation": "Pod",
    }


def made(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of ours."""
    return {"apiVersion": "vch.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
