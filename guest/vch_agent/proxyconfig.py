"""kube-proxy's configuration, written at every boot: nftables in the gateway namespace, the agent for an API server.

Nothing in it depends on the pod: kube-proxy runs, warm, in the parent and is cloned with it. It is the real one, of the
kubelet's version; what it is to leave alone is left alone: the kernel's conntrack settings are the guest's.
"""

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from . import files

ADDRESS, PORT = "127.0.0.1", 8001
"""Of the agent's API server for kube-proxy: loopback of the gateway namespace, which has nothing else on it."""
POD_LINK = "pod"
"""The gateway's end of the veth to the Pod's namespace."""


class Gateway(Protocol):
    """The gateway namespace."""

    def listen(self, address: str, port: int) -> socket.socket:
        """A TCP socket that listens in there. Raises OSError."""

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs a program in there."""


def configuration(folder: Path, node: str) -> dict[str, Any]:
    """The KubeProxyConfiguration (JSON is YAML)."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": node,
        "clientConnection": {
            "kubeconfig": str(folder / "kubeconfig"),
            # The agent speaks JSON only.
            "contentType": "application/json",
            "acceptContentTypes": "application/json",
            # One client of one server on loopback, which tells it to wait when it has to: lists are asked for at once.
            "qps": 50,
            "burst": 100,
        },
        # What comes from the Pod is local, whatever its address will be (it is not known in a parent): nothing of it
        # is masqueraded but a connection to a Service that leads back to the Pod.
        "detectLocalMode": "InterfaceNamePrefix",
        "detectLocal": {"interfaceNamePrefix": POD_LINK},
        "nftables": {
            # The first Services of a clone come in several events: DNS has to work when the Pod's first process starts.
            # How often they may change after that is the provider's to limit.
            "minSyncPeriod": "100ms",
            "syncPeriod": "5s",  # after a failure
        },
        # Neither nodePort nor healthCheckNodePort is fed: nothing is opened on these.
        "nodePortAddresses": ["primary"],
        # They cannot be turned off; loopback of the gateway namespace is out of everybody's reach.
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "configSyncPeriod": "24h0m0s",  # timers wake every clone for nothing
    }


def kubeconfig(token: str) -> dict[str, Any]:
    """How kube-proxy reaches the agent; the token is in the URL for the reason told in `kubeletconfig`."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "agent", "cluster": {"server": f"http://kube-proxy:{token}@{ADDRESS}:{PORT}"}}],
        "users": [{"name": "kube-proxy", "user": {}}],
        "contexts": [{"name": "agent", "context": {"cluster": "agent", "user": "kube-proxy"}}],
        "current-context": "agent",
    }


def write(run: Path, node: str, token: str) -> Path:
    """Write everything kube-proxy starts from; returns the environment file, written last."""
    folder = run / "kube-proxy"
    files.write(folder / "config.json", json.dumps(configuration(folder, node), indent=1))
    files.write(folder / "kubeconfig", json.dumps(kubeconfig(token), indent=1))
    environment = run / "kube-proxy.env"
    files.write(environment, f'KUBE_PROXY_ARGS="--config={folder / "config.json"}"\n')
    return environment
