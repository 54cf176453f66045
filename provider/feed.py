"""What a guest is given: the objects that its Pod names, and a Node that exists for that guest alone. Pure.

The counterpart is `relay`: what a guest may say. Here nothing is left out that the kubelet would read for this Pod, and
nothing is added that the Pod does not name: a guest's root can read all that is fed to it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provider.podvm import PodVMClass

KubeObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class References:
    """Names of objects in the Pod's namespace that the kubelet reads for the Pod, whether optional or not."""

    config_maps: frozenset[str] = field(default_factory=frozenset)
    secrets: frozenset[str] = field(default_factory=frozenset)
    runtime_class: str | None = None


def references(pod: KubeObject) -> References:
    """Every ConfigMap and Secret that a container's environment, a volume or an image pull names."""
    spec = pod["spec"]
    config_maps: set[str] = set()
    secrets: set[str] = {pull["name"] for pull in spec.get("imagePullSecrets") or () if pull.get("name")}
    for container in containers(spec):
        for kind, name in _environment(container):
            (config_maps if kind == "configMap" else secrets).add(name)
    for volume in spec.get("volumes") or ():
        for kind, name in _volume(volume):
            (config_maps if kind == "configMap" else secrets).add(name)
    return References(
        config_maps=frozenset(config_maps),
        secrets=frozenset(secrets),
        runtime_class=spec.get("runtimeClassName"),
    )


def containers(spec: KubeObject) -> Iterator[KubeObject]:
    """Containers of every sort, in the order in which the kubelet starts them."""
    for sort in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(sort) or ()


def _environment(container: KubeObject) -> Iterator[tuple[str, str]]:
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        if "configMapKeyRef" in source:
            yield "configMap", source["configMapKeyRef"].get("name", "")
        if "secretKeyRef" in source:
            yield "secret", source["secretKeyRef"].get("name", "")
    for source in container.get("envFrom") or ():
        if "configMapRef" in source:
            yield "configMap", source["configMapRef"].get("name", "")
        if "secretRef" in source:
            yield "secret", source["secretRef"].get("name", "")


def _volume(volume: KubeObject) -> Iterator[tuple[str, str]]:
    if "configMap" in volume:
        yield "configMap", volume["configMap"].get("name", "")
    if "secret" in volume:
        yield "secret", volume["secret"].get("secretName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "configMap" in source:
            yield "configMap", source["configMap"].get("name", "")
        if "secret" in source:
            yield "secret", source["secret"].get("name", "")


def guest_node(name: str, labels: Mapping[str, str], vm_class: PodVMClass, address: str) -> KubeObject:
    """The Node that one guest's kubelet takes itself for.

    Its name and labels are the virtual node's, since Pods match them (`spec.nodeName`, node affinity, which the
    kubelet checks again at admission); its size is the VM's, since the kubelet admits against it; its address is the
    virtual node's, so that what a Pod reads of `status.hostIP` inside is what everybody sees of it outside. Its status
    is never relayed.
    """
    size = {"cpu": f"{vm_class.cpu_millis}m", "memory": str(vm_class.memory_bytes), "pods": "1"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"guest-{name}", "labels": dict(labels), "resourceVersion": "1"},
        "spec": {},
        "status": {
            "capacity": size,
            "allocatable": size,
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "PodVM"}],
        },
    }


def guest_objects(
    pod: KubeObject,
    node: KubeObject,
    firewall: KubeObject,
    found: Iterable[KubeObject],
) -> Sequence[KubeObject]:
    """The complete desired set of a guest's objects; the Node first, the Pod last: it needs all the others.

    `firewall` is `network_policy.firewall_object`'s.
    """
    wanted = references(pod)
    namespace = pod["metadata"]["namespace"]

    def is_wanted(thing: KubeObject) -> bool:
        meta = thing["metadata"]
        match thing["kind"]:
            case "ConfigMap":
                return meta["namespace"] == namespace and meta["name"] in wanted.config_maps
            case "Secret":
                return meta["namespace"] == namespace and meta["name"] in wanted.secrets
            case "RuntimeClass":
                return bool(meta["name"] == wanted.runtime_class)
        return False

    return [node, firewall, *(thing for thing in found if is_wanted(thing)), pod]
