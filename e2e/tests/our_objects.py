"""Objects of our kinds for tests of their schemas: the least that is valid, and such as have every field.

An image is one of several things, so there are several of it. What is wrong with their fields is in `wrong_values`.
"""

from e2e.tests.kube import KubeObject


def _object(kind: str, **spec: object) -> KubeObject:
    return {"apiVersion": "vch.dev/v1alpha1", "kind": kind, "metadata": {"name": "schema-test"}, "spec": spec}


_DIGEST = "0123456789abcdef" * 4

MINIMAL: dict[str, KubeObject] = {
    "VirtualContainerHost": _object(
        "VirtualContainerHost",
        vCenter={"server": "vcenter.example", "credentialsSecretRef": {"name": "login"}},
        placement={"resourcePool": "pods", "folder": "pods"},
        network={"ranges": ["10.0.0.10-10.0.0.250"], "prefixLength": 24},
        template={"images": ["photon"], "classes": ["small"]},
        node={"address": "192.0.2.10"},
    ),
    "PodVMClass": _object("PodVMClass", cpus=1, memory="512Mi"),
    "PodVMImage": _object("PodVMImage", source={"inventoryTemplate": "photon-5"}),
    "ParentVM": _object("ParentVM", vch="vch-1", host="host-1", **{"class": "small"}, image="photon"),
}

FULL: dict[str, KubeObject] = {
    "VirtualContainerHost": _object(
        "VirtualContainerHost",
        vCenter={
            "server": "vcenter.example:8443",
            "credentialsSecretRef": {"name": "login"},
            "caBundleRef": {"kind": "Secret", "name": "ca", "key": "tls.crt"},
        },
        placement={
            "datacenter": "DC0",
            "computeCluster": "/DC0/host/C0",
            "hosts": ["esx-1.example", "host-22"],
            "resourcePool": "/DC0/host/C0/Resources/pods",
            "folder": "group-v4",
            "datastore": "vSAN Datastore (1)",
        },
        network={
            "portGroup": "DVPG 100",
            "ranges": ["10.0.0.10 - 10.0.0.250", "10.0.1.7"],
            "prefixLength": 16,
            "gateway": "10.0.0.1",
            "nameservers": ["10.0.0.2", "10.0.0.3"],
            "clusterDNS": {"servers": ["10.96.0.10"], "domain": "cluster.example"},
        },
        podNetwork={
            "portGroup": "DVPG 200",
            "ranges": ["10.1.0.16 - 10.1.0.250", "10.1.1.7"],
            "prefixLength": 16,
            "gateway": "10.1.0.1",
            "ipv6": {
                "ranges": ["fd00:10::10 - fd00:10::ffff", "fd00:11::7"],
                "prefixLength": 64,
                "gateway": "fe80::1",
            },
            "isolation": "Pod",
            "peerTraffic": "Deny",
            "serviceRouting": "None",
            "ipam": "Pool",
        },
        template={"images": ["photon", "photon-tuned"], "classes": ["small", "large"]},
        parents={"prewarm": False, "maxConcurrent": 4, "maxAgeSeconds": 604800},
        sharing="Namespace",
        limits={"cpu": 64, "memory": "256Gi", "pods": 200},
        registries={
            "mirrors": [
                {"registry": "registry.example", "endpoints": ["https://mirror.example:5000", "http://10.0.0.4/v2/all"]}
            ],
            "insecure": ["registry.example:5000"],
            "caBundleRef": {"kind": "ConfigMap", "name": "registry-ca", "key": "ca.crt"},
        },
        proxy={
            "httpProxy": "http://proxy.example:3128",
            "httpsProxy": "http://proxy.example:3128",
            "noProxy": "localhost,.example,10.0.0.0/8",
        },
        node={
            "address": "192.0.2.10",
            "labels": {"example.com/tier": "front", "empty": ""},
            "annotations": {"example.com/note": "any text\nat all"},
            "taints": [
                {"key": "example.com/only", "value": "vms", "effect": "NoSchedule"},
                {"key": "example.com/only", "value": "vms", "effect": "NoExecute"},
            ],
        },
        deletionPolicy="Refuse",
    ),
    "PodVMClass": _object(
        "PodVMClass",
        cpus=2,
        memory="1Gi",
        overhead={"cpu": "100m", "memory": "256Mi"},
        image="photon",
        runtimeClassNames=["vch", "vch-large"],
        standby=3,
        description="For web servers.",
    ),
    "image": _object(
        "PodVMImage",
        source={"inventoryTemplate": "/DC0/vm/photon 5"},
        preloadImages=["example.com:5000/web/nginx:1.29"],
    ),
    "library image": _object("PodVMImage", source={"contentLibraryItem": {"library": "OVAs", "item": "photon-5"}}),
    "OVA image": _object("PodVMImage", source={"ova": {"url": "https://files.example/p.ova", "sha256": _DIGEST}}),
    "fork": _object(
        "PodVMImage",
        fork={
            "from": "photon",
            "kernelParameters": ["panic=5", "quiet", "console=ttyS0,115200"],
            "sysctls": {"net.core.somaxconn": "1024", "net/ipv4/ip_local_port_range": "1024 65000"},
            "kernelModules": ["dummy", "nf_conntrack"],
            "files": [{"path": "/etc/profile.d/x.sh", "content": "x=1\n", "mode": "0755"}],
        },
        preloadImages=["busybox@sha256:" + _DIGEST],
    ),
    "ParentVM": _object(
        "ParentVM", vch="vch-1", host="host-1", **{"class": "small"}, image="photon", namespace="team-a"
    ),
}

FULL["VCH by namespace"] = _object(
    "VirtualContainerHost",
    **{
        **FULL["VirtualContainerHost"]["spec"],
        "podNetwork": {
            "isolation": "Namespace",
            "namespaces": [
                {
                    "namespace": "team-a",
                    "portGroup": "DVPG 201",
                    "ranges": ["10.2.0.16 - 10.2.0.250", "10.2.1.7"],
                    "prefixLength": 16,
                    "gateway": "10.2.0.1",
                },
                {"namespace": "team-b", "portGroup": "DVPG 202", "ranges": ["10.3.0.7"], "prefixLength": 24},
            ],
            "peerTraffic": "ViaGateway",
            "serviceRouting": "Guest",
            "ipam": "Pool",
        },
    },
)
