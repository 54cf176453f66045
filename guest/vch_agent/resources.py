"""The kinds that the guest kubelet and kube-proxy know of, and paths of the Kubernetes API. Pure.

Four sorts: *fed* (the provider pushes them; unknown until it did), *local* (kept by the agent for the kubelet alone),
*empty* (the kubelet lists them; a pod VM has none), *routed* (pushed too, for kube-proxy alone: see `service_routes`).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote


class Source(Enum):
    """Who writes objects of a kind."""

    FED = "fed"
    LOCAL = "local"
    EMPTY = "empty"
    ROUTED = "routed"


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind as the API names it."""

    plural: str
    kind: str
    group: str
    version: str
    source: Source

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


def _core(plural: str, kind: str, source: Source) -> Resource:
    return Resource(plural, kind, "", "v1", source)


NODES = _core("nodes", "Node", Source.FED)
PODS = _core("pods", "Pod", Source.FED)
CONFIG_MAPS = _core("configmaps", "ConfigMap", Source.FED)
SECRETS = _core("secrets", "Secret", Source.FED)
SERVICES = _core("services", "Service", Source.FED)
RUNTIME_CLASSES = Resource("runtimeclasses", "RuntimeClass", "node.k8s.io", "v1", Source.FED)
LEASES = Resource("leases", "Lease", "coordination.k8s.io", "v1", Source.LOCAL)
CSI_NODES = Resource("csinodes", "CSINode", "storage.k8s.io", "v1", Source.LOCAL)
ENDPOINT_SLICES = Resource("endpointslices", "EndpointSlice", "discovery.k8s.io", "v1", Source.ROUTED)
SERVICE_CIDRS = Resource("servicecidrs", "ServiceCIDR", "networking.k8s.io", "v1", Source.ROUTED)

ALL = (
    NODES,
    PODS,
    CONFIG_MAPS,
    SECRETS,
    SERVICES,
    RUNTIME_CLASSES,
    LEASES,
    CSI_NODES,
    ENDPOINT_SLICES,
    SERVICE_CIDRS,
    Resource("csidrivers", "CSIDriver", "storage.k8s.io", "v1", Source.EMPTY),
    Resource("volumeattachments", "VolumeAttachment", "storage.k8s.io", "v1", Source.EMPTY),
    _core("persistentvolumeclaims", "PersistentVolumeClaim", Source.EMPTY),
    _core("persistentvolumes", "PersistentVolume", Source.EMPTY),
    Resource("podcertificaterequests", "PodCertificateRequest", "certificates.k8s.io", "v1beta1", Source.EMPTY),
    Resource("podcertificaterequests", "PodCertificateRequest", "certificates.k8s.io", "v1", Source.EMPTY),
    Resource("resourceslices", "ResourceSlice", "resource.k8s.io", "v1", Source.EMPTY),
    Resource("resourceclaims", "ResourceClaim", "resource.k8s.io", "v1", Source.EMPTY),
    Resource("clustertrustbundles", "ClusterTrustBundle", "certificates.k8s.io", "v1beta1", Source.EMPTY),
    Resource("clustertrustbundles", "ClusterTrustBundle", "certificates.k8s.io", "v1", Source.EMPTY),
)

_BY_KIND = {(resource.api_version, resource.kind): resource for resource in ALL}
_BY_PATH = {(resource.api_version, resource.plural): resource for resource in ALL}


def of_object(value: dict[str, Any]) -> Resource | None:
    """The kind of an object by its apiVersion and kind; None if nobody in a guest is served it."""
    return _BY_KIND.get((str(value.get("apiVersion")), str(value.get("kind"))))


def key_of(value: dict[str, Any]) -> tuple[str, str]:
    """Namespace ("" if the kind has none) and name.

    Raises ValueError without metadata.name.
    """
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str) or not name:
        raise ValueError("metadata.name: a non-empty string is required")
    return str(metadata.get("namespace") or ""), name


@dataclass(frozen=True, slots=True)
class Target:
    """What a request path names; `plural` may be one we do not serve."""

    api_version: str
    plural: str
    namespace: str
    name: str
    subresource: str

    @property
    def resource(self) -> Resource | None:
        return _BY_PATH.get((self.api_version, self.plural))


def parse_path(path: str) -> Target | None:
    """`/api/v1/namespaces/NS/pods/NAME/status` and its like; None if the path is no resource's."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    match parts:
        case ["api", "v1", *rest]:
            api_version = "v1"
        case ["apis", group, version, *rest]:
            api_version = f"{group}/{version}"
        case _:
            return None
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    match rest:
        case [plural]:
            return Target(api_version, plural, namespace, "", "")
        case [plural, name]:
            return Target(api_version, plural, namespace, name, "")
        case [plural, name, subresource]:
            return Target(api_version, plural, namespace, name, subresource)
        case _:
            return None
