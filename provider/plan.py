"""A Pod to what its VM must be, or to the reason why it cannot be: nothing that a Pod asks for is silently ignored.

Pure. A plan is what is wanted; what vSphere shows is a `podvm.PodVM`; how to get from one to the other is `lifecycle`.
What the guest's real kubelet does by itself (probes, environment, most volumes, restarts) is not looked at here: only
what no kubelet inside a VM of its own can honour.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provider import quantity
from provider.errors import NamespaceNotListed, UnsupportedPod
from provider.podvm import uid_letters
from provider.vm_class import VMClass, choose_class, choose_image

KubeObject = dict[str, Any]

_NAME_LIMIT = 79  # vSphere: names have fewer than 80 characters
_HOSTNAME_LIMIT = 63

GUEST_VOLUMES = frozenset({"configMap", "downwardAPI", "emptyDir", "projected", "secret"})
"""Volumes that the guest's kubelet makes from nothing but what it is fed."""

GUEST_PROJECTIONS = frozenset({"configMap", "downwardAPI", "secret", "serviceAccountToken"})

GUEST_PATHS = ("/dev", "/sys", "/lib/modules", "/usr/lib/modules", "/mnt", "/opt", "/srv", "/tmp", "/var/tmp")  # noqa: S108
"""hostPath volumes below these show the VM's own devices, kernel and disk. Everything else either does not exist in a
pod VM (`/var/log` of a node, other Pods' folders) or belongs to agent, kubelet and containerd."""

_VM_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})

SCHEDULERS = frozenset({
    # Judged by the scheduler or the API server before the Pod gets here, or nobody's but theirs.
    "affinity", "evictionResponders", "nodeName", "nodeSelector", "preemptionPolicy", "priority", "priorityClassName",
    "schedulerName", "schedulingGates", "schedulingGroup", "tolerations", "topologySpreadConstraints",
})  # fmt: skip
GUESTS = frozenset({
    # Done by the guest's kubelet. dnsPolicy ClusterFirst is the VCH's clusterDNS there; without one it falls back to
    # the VCH's name servers.
    "activeDeadlineSeconds", "automountServiceAccountToken", "containers", "dnsConfig", "dnsPolicy",
    "enableServiceLinks", "ephemeralContainers", "hostAliases", "imagePullSecrets", "initContainers",
    "readinessGates", "restartPolicy", "runtimeClassName", "securityContext", "serviceAccount",
    "serviceAccountName", "shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds",
})  # fmt: skip
JUDGED_HERE = frozenset({
    "hostIPC", "hostNetwork", "hostPID", "hostUsers", "hostname", "hostnameOverride", "os", "overhead",
    "resourceClaims", "resources", "setHostnameAsFQDN", "volumes",
})  # fmt: skip
"""With the two above: every field of the PodSpec of Kubernetes 1.37 (a test compares with the client's model)."""


@dataclass(frozen=True, slots=True)
class PodPlan:
    """What a Pod's VM must be."""

    uid: str
    namespace: str
    name: str
    vm_name: str
    hostname: str
    vm_class: VMClass
    image: str
    shares: str = ""  # the namespace whose Pods alone may share memory with it; empty: all of the VCH's


@dataclass(frozen=True, slots=True)
class Offer:
    """What a VCH has for Pods."""

    classes: Sequence[VMClass]
    images: Sequence[str]  # the default first
    by_namespace: bool = False  # memory is shared within a namespace only
    cluster_domain: str = ""  # the cluster's DNS domain, where guests know it
    namespaces: frozenset[str] | None = None  # whose Pods have a network, where each namespace has its own; None: all


def plan_pod(pod: KubeObject, offer: Offer) -> PodPlan:
    """The plan for a Pod. Raises UnsupportedPod, ExceedsVMClass, NamespaceNotListed."""
    metadata, spec = pod["metadata"], pod["spec"]
    _check_owner(metadata, spec)
    _check_namespace(metadata["namespace"], offer)
    _check_host(spec, offer)
    _check_volumes(spec)
    for path, container in _containers(spec):
        _check_container(path, container)
    _check_resources("spec.resources", spec.get("resources") or {})
    seen = {each.under(pod_overhead(spec)): each for each in offer.classes}
    vm_class = seen[choose_class(pod, effective_size(spec), list(seen))]
    return PodPlan(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        vm_name=vm_name(metadata["name"], metadata["uid"]),
        hostname=_hostname(metadata, spec),
        vm_class=vm_class,
        image=choose_image(pod, vm_class, offer.images),
        shares=metadata["namespace"] if offer.by_namespace else "",
    )


def vm_name(pod_name: str, uid: str) -> str:
    """Names are for people; the UID's letters make it unique and the same at each attempt (invariant I-08)."""
    end = uid_letters(uid)
    # In inventory names vCenter escapes these three itself when read back; a Pod's name has none, but be sure.
    safe = re.sub(r"[/\\%]", lambda found: f"%{ord(found[0]):02x}", pod_name)
    return f"{safe[: _NAME_LIMIT - len(end) - 1]}-{end}"


def effective_requests(spec: KubeObject) -> dict[str, int]:
    """CPU (thousandths) and memory (bytes) as the scheduler counts them."""
    return _effective(spec, ("requests", "limits"))


def effective_size(spec: KubeObject) -> dict[str, int]:
    """What the containers must have of a VM: as `effective_requests`, but with each one's limit where it has one, and
    without the Pod's overhead (`vm_class.VMClass.under`)."""
    size, overhead = _effective(spec, ("limits", "requests")), pod_overhead(spec)
    return {name: amount - overhead[name] for name, amount in size.items()}


def pod_overhead(spec: KubeObject) -> dict[str, int]:
    """The overhead that the Pod's RuntimeClass has put on it."""
    own = spec.get("overhead") or {}
    return {"cpu": quantity.millis(own.get("cpu", "0")), "memory": quantity.whole(own.get("memory", "0"))}


def _effective(spec: KubeObject, kinds: tuple[str, str]) -> dict[str, int]:
    """The larger of what runs together in the end and what each init container needs while the sidecars before it run
    (k8s.io/component-helpers/resource `PodRequests`, KEP-753); an amount of the Pod itself replaces that (KEP-2837).

    A limit without a request is the request too (the API server writes that down; be sure).
    """
    counted = {}
    own = spec.get("resources") or {}
    for name, unit in (("cpu", quantity.millis), ("memory", quantity.whole)):
        running = sum(unit(_amount(container, name, kinds)) for container in spec.get("containers") or ())
        sidecars = peak = 0
        for container in spec.get("initContainers") or ():
            wanted = unit(_amount(container, name, kinds))
            if container.get("restartPolicy") == "Always":
                sidecars += wanted
                wanted = 0
            peak = max(peak, sidecars + wanted)
        total = max(running + sidecars, peak)
        if _amount({"resources": own}, name, kinds) != "0":
            total = unit(_amount({"resources": own}, name, kinds))
        counted[name] = total + unit((spec.get("overhead") or {}).get(name, "0"))
    return counted


def _check_owner(metadata: KubeObject, spec: KubeObject) -> None:
    daemon = any(owner.get("kind") == "DaemonSet" for owner in metadata.get("ownerReferences") or ())
    everything = any(
        not toleration.get("key") and toleration.get("operator") == "Exists" and not toleration.get("effect")
        for toleration in spec.get("tolerations") or ()
    )
    if daemon and everything:
        raise UnsupportedPod(
            "spec.tolerations",
            "a DaemonSet that tolerates every taint is meant for real nodes. To keep it off virtual nodes give it a "
            "node affinity `type NotIn [virtual-kubelet]`; to run it here let it tolerate "
            "virtual-kubelet.io/provider by name",
        )


def _check_namespace(namespace: str, offer: Offer) -> None:
    if offer.namespaces is not None and namespace not in offer.namespaces:
        raise NamespaceNotListed(namespace)


def _check_host(spec: KubeObject, offer: Offer) -> None:
    for field, what in (("hostPID", "process"), ("hostIPC", "IPC"), ("hostNetwork", "network")):
        if spec.get(field):
            raise UnsupportedPod(f"spec.{field}", f"there is no host whose {what} namespace a pod VM could share")
    if spec.get("hostUsers") is False:
        raise UnsupportedPod("spec.hostUsers", "user namespaces are not used inside a pod VM, which isolates by itself")
    system = (spec.get("os") or {}).get("name", "linux")
    if system != "linux":
        raise UnsupportedPod("spec.os.name", f"pod VMs run linux, not {system}")
    selected = (spec.get("nodeSelector") or {}).get("kubernetes.io/os", "linux")
    if selected != "linux":
        raise UnsupportedPod("spec.nodeSelector[kubernetes.io/os]", f"pod VMs run linux, not {selected}")
    if spec.get("setHostnameAsFQDN") and not offer.cluster_domain:
        raise UnsupportedPod(
            "spec.setHostnameAsFQDN",
            "a pod VM does not know the cluster's DNS domain: the VirtualContainerHost has no spec.network.clusterDNS",
        )
    if spec.get("resourceClaims"):
        raise UnsupportedPod("spec.resourceClaims", "devices cannot be given to a pod VM")


def _check_volumes(spec: KubeObject) -> None:
    for number, volume in enumerate(spec.get("volumes") or ()):
        field = f"spec.volumes[{number}]"
        # A volume without a source is an emptyDir (core/v1 defaults), but the API server fills it in.
        kind = next((key for key, value in volume.items() if key != "name" and value is not None), "emptyDir")
        if kind == "hostPath":
            _check_host_path(f"{field}.hostPath.path", str(volume["hostPath"].get("path", "")))
        elif kind == "emptyDir":
            medium = (volume.get("emptyDir") or {}).get("medium") or ""
            if medium.startswith("HugePages"):
                raise UnsupportedPod(f"{field}.emptyDir.medium", "pod VMs have no huge pages")
        elif kind == "projected":
            _check_projections(field, volume["projected"])
        elif kind not in GUEST_VOLUMES:
            raise UnsupportedPod(f"{field}.{kind}", f"volumes of type {kind} cannot be attached to a pod VM")


def _check_projections(field: str, projected: KubeObject) -> None:
    for number, source in enumerate(projected.get("sources") or ()):
        for kind, value in source.items():
            if value is not None and kind not in GUEST_PROJECTIONS:
                raise UnsupportedPod(
                    f"{field}.projected.sources[{number}].{kind}", f"projections of {kind} do not reach a pod VM"
                )


def _check_host_path(field: str, path: str) -> None:
    if ".." in path.split("/") or not any(path == own or path.startswith(f"{own}/") for own in GUEST_PATHS):
        raise UnsupportedPod(field, f"{path} is not the pod VM's own; only paths below {', '.join(GUEST_PATHS)} are")


def _containers(spec: KubeObject) -> Iterator[tuple[str, KubeObject]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for number, container in enumerate(spec.get(kind) or ()):
            yield f"spec.{kind}[{number}]", container


def _check_container(field: str, container: KubeObject) -> None:
    for number, port in enumerate(container.get("ports") or ()):
        if port.get("hostPort"):
            raise UnsupportedPod(
                f"{field}.ports[{number}].hostPort", "there is no host; the Pod's own address has all its ports"
            )
    if container.get("volumeDevices"):
        raise UnsupportedPod(f"{field}.volumeDevices", "block volumes cannot be attached to a pod VM")
    _check_resources(f"{field}.resources", container.get("resources") or {})


def _check_resources(field: str, resources: KubeObject) -> None:
    if resources.get("claims"):
        raise UnsupportedPod(f"{field}.claims", "devices cannot be given to a pod VM")
    for kind in ("limits", "requests"):
        for name, amount in (resources.get(kind) or {}).items():
            if name not in _VM_RESOURCES and quantity.parse(amount):
                raise UnsupportedPod(f"{field}.{kind}[{name}]", f"pod VMs have no {name}")


def _amount(container: Mapping[str, Any], name: str, kinds: tuple[str, str]) -> str:
    resources = container.get("resources") or {}
    first, second = (resources.get(kind) or {} for kind in kinds)
    return str(first.get(name, second.get(name, "0")))


def _hostname(metadata: KubeObject, spec: KubeObject) -> str:
    """As the kubelet's GeneratePodHostNameAndDomain: hostnameOverride, hostname or the Pod's name, cut to fit."""
    wanted = spec.get("hostnameOverride") or spec.get("hostname") or metadata["name"]
    return str(wanted)[:_HOSTNAME_LIMIT].rstrip("-.")
