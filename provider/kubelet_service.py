"""The Service and the EndpointSlice of a virtual node's kubelet API, where the operator runs in the cluster. Pure.

The Service's ClusterIP is the Node's address: one of its own for each node, on port 10250, and the same whichever
replica serves it (tools that scrape kubelets take both for granted). It has no selector; the EndpointSlice leads to the
replica that holds the VCH's Lease. `kubelet_serving` keeps both as they should be.
"""

import hashlib
import re
from typing import Any

from provider import errors
from provider.ownership import reference

KubeObject = dict[str, Any]

KUBELET_LABEL = "vch.dev/kubelet"
"""On both, with the VCH's name."""
_MANAGER = "virtual-kubelet-vch"
_PORT_NAME = "https-metrics"  # as prometheus-operator names the port of kubelets
_LONGEST = 63
_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def name(vch: str) -> str:
    """Of both objects. What cannot be a Service's name is cut, and told apart by a hash."""
    wanted = f"vch-{vch}"
    if len(wanted) <= _LONGEST and _DNS_LABEL.fullmatch(wanted):
        return wanted
    ending = hashlib.sha256(vch.encode()).hexdigest()[:8]
    cut = re.sub(r"[^-a-z0-9]", "-", wanted)[: _LONGEST - len(ending) - 1].rstrip("-")
    return f"{cut}-{ending}"


def service(vch: KubeObject, namespace: str, port: int, address: str | None) -> KubeObject:
    """For server-side apply. `address`: the ClusterIP that it shall have; None: whichever it gets, or has."""
    spec: KubeObject = {
        "type": "ClusterIP",
        "ipFamilyPolicy": "SingleStack",
        "ipFamilies": ["IPv4"],
        "ports": [{"name": _PORT_NAME, "port": port, "protocol": "TCP"}],
    }
    if address:
        spec["clusterIP"] = address
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(vch, namespace), "spec": spec}


def endpoint_slice(vch: KubeObject, namespace: str, address: str, port: int) -> KubeObject:
    """For server-side apply: the one endpoint, where the kubelet API is served now."""
    metadata = _metadata(vch, namespace)
    metadata["labels"] |= {
        "kubernetes.io/service-name": metadata["name"],
        "endpointslice.kubernetes.io/managed-by": _MANAGER,
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": _PORT_NAME, "port": port, "protocol": "TCP"}],
    }


def cluster_ip(found: KubeObject) -> str:
    """The Service's. Raises ServiceUnusable."""
    address = str((found.get("spec") or {}).get("clusterIP") or "")
    if address in ("", "None"):
        metadata = found["metadata"]
        raise errors.ServiceUnusable(
            f"Service {metadata['namespace']}/{metadata['name']} has no ClusterIP: delete it, and it is made anew"
        )
    return address


def _metadata(vch: KubeObject, namespace: str) -> KubeObject:
    owner = vch["metadata"]["name"]
    return {
        "name": name(owner),
        "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": _MANAGER, KUBELET_LABEL: owner},
        "ownerReferences": [reference(vch)],
    }
