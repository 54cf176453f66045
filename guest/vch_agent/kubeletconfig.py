"""The guest kubelet's configuration, written at every boot: who its API server is, and what it must leave alone.

Values only come from `settings`, the virtual node's name, its cluster's DNS and the files of `pki`; the pod has no say
in it. The command line goes to `/run/vch/kubelet.env` (`KUBELET_ARGS=…`), read by kubelet.service and by the
simulator's native guest.
"""

import json
from pathlib import Path
from typing import Any

from . import files
from .pki import LocalPKI
from .settings import Platform, Settings
from .setup import DNS

NODE_IP = "169.254.1.1"
"""A fixed --node-ip, so that nothing of the frozen parent's network shows in a clone. Without one the kubelet resolves
its own name for 10 s. What the pod sees as status.hostIP comes from the Node object of the feed."""

_LONG = "24h0m0s"
_NO_EVICTION = {f"{signal}.{kind}": "0%" for signal in ("nodefs", "imagefs") for kind in ("available", "inodesFree")}


def configuration(settings: Settings, pki: LocalPKI, dns: DNS) -> dict[str, Any]:
    """The KubeletConfiguration (JSON is YAML)."""
    config: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # The one-pod API server speaks JSON only.
        "contentType": "application/json",
        "registerNode": False,
        "containerRuntimeEndpoint": f"unix://{settings.containerd_socket}",
        # The kubelet's own API: loopback, the agent alone holds a client certificate of this CA.
        "address": "127.0.0.1",
        "port": settings.kubelet_port,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": settings.kubelet_healthz_port,
        "tlsCertFile": str(pki.server_cert),
        "tlsPrivateKeyFile": str(pki.server_key),
        "tlsMinVersion": "VersionTLS13",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(pki.ca_cert)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        # Nobody reads this Node's heartbeat: the provider reports the virtual node.
        "nodeStatusUpdateFrequency": _LONG,
        "nodeStatusReportFrequency": _LONG,
        "nodeLeaseDurationSeconds": 86400,
        # How soon a changed ConfigMap or Secret shows in a volume. The default of a minute is meant for a hundred pods.
        "syncFrequency": "20s",
        # Preloaded images must stay: at 100 the kubelet never collects images.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # One pod has the VM to itself: evicting it would help nobody, the container that leaks is OOM-killed.
        "evictionHard": {"memory.available": "0%", **_NO_EVICTION},
        # Limits are enforced at the pod's cgroup; the VM is the node's limit.
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": False,
        "failSwapOn": False,
        "resolvConf": str(settings.etc / "resolv.conf"),
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        "failCgroupV1": False,
        "logging": {"verbosity": 1},
    }
    if dns.servers:
        config["clusterDNS"] = list(dns.servers)
    if dns.domain:
        config["clusterDomain"] = dns.domain
    if settings.platform is Platform.NATIVE:
        config |= {
            "cgroupDriver": "cgroupfs",
            "oomScoreAdj": 0,  # lowering it needs CAP_SYS_RESOURCE, which a shared host may not give
        }
        if settings.cgroup_root:
            config["cgroupRoot"] = settings.cgroup_root
        else:
            # Several kubelets under one /kubepods would each clean up the others' pods.
            config["cgroupsPerQOS"] = False
    else:
        config["cgroupDriver"] = "systemd"
    return config


def kubeconfig(settings: Settings, token: str) -> dict[str, Any]:
    """How the kubelet reaches the agent.

    The token is in the URL's userinfo: client-go drops `users[].user.token` when the server is not https
    (clientcmd `IsConfigTransportTLS`), and TLS here would mean an OpenSSL context in the agent before the freeze. Go
    turns userinfo into an Authorization header and blanks it in error texts.
    """
    server = f"http://kubelet:{token}@127.0.0.1:{settings.api_port}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "agent", "cluster": {"server": server}}],
        "users": [{"name": "kubelet", "user": {}}],
        "contexts": [{"name": "agent", "context": {"cluster": "agent", "user": "kubelet"}}],
        "current-context": "agent",
    }


def write(settings: Settings, pki: LocalPKI, node: str, token: str, dns: DNS) -> Path:
    """Write everything the kubelet starts from; returns the environment file, written last."""
    folder = settings.run / "kubelet"
    files.write(folder / "config.json", json.dumps(configuration(settings, pki, dns), indent=1))
    files.write(folder / "kubeconfig", json.dumps(kubeconfig(settings, token), indent=1))
    arguments = [
        f"--config={folder / 'config.json'}",
        f"--kubeconfig={folder / 'kubeconfig'}",
        f"--hostname-override={node}",
        f"--node-ip={NODE_IP}",
    ]
    environment = settings.run / "kubelet.env"
    files.write(environment, f'KUBELET_ARGS="{" ".join(arguments)}"\n')
    return environment
