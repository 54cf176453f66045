"""Every error of the provider, by what it means for the Pod or the VCH and whether trying again can help.

Not the faults of a library: those are translated once, at the edge (`vsphere.faults`, `kube`, `guest.link`), with the
library's error chained as the cause.

    ProviderError
    ├── UnsupportedPod             terminal: the Pod is refused before a VM exists
    │   ├── ExceedsVMClass
    │   └── NamespaceNotListed
    ├── OutOfResource              terminal: the virtual node is full
    ├── AddressesExhausted
    ├── NoParentReady              the Pod waits for a parent to be made
    ├── PredecessorRuns            the Pod waits for the end of its namesake's VM
    ├── ImagePending               a PodVMImage's template is being looked for or brought in
    ├── ParentFailed
    ├── ConfigurationError         the VCH, or what it refers to, is not as it should be
    │   ├── InvalidSpec
    │   ├── SecretNotFound
    │   ├── SecretInvalid
    │   ├── CABundleNotFound
    │   ├── AddressNotServed
    │   ├── PodAddressUnknown
    │   ├── ServiceUnusable
    │   └── CertificateUnusable
    ├── VSphereError
    │   ├── VCenterUnreachable
    │   ├── InvalidLogin
    │   ├── CertificateMismatch
    │   ├── NoPermission
    │   ├── InventoryObjectNotFound
    │   │   ├── DatacenterNotFound
    │   │   ├── ComputeClusterNotFound
    │   │   ├── HostNotFound
    │   │   ├── FolderNotFound
    │   │   ├── ResourcePoolNotFound
    │   │   ├── DatastoreNotFound
    │   │   ├── PortGroupNotFound
    │   │   ├── TemplateNotFound
    │   │   ├── LibraryItemNotFound
    │   │   ├── ParentNotFound
    │   │   └── AmbiguousName
    │   ├── OVAInvalid
    │   ├── TemplateUnsuitable
    │   ├── ParentNotFrozen        this parent cannot be cloned now,
    │   ├── ParentUnsuitable       … never,
    │   ├── ParentExhausted        … not any more
    │   ├── HostUnavailable        nor anything else on its host
    │   ├── InsufficientResources
    │   │   └── DatastoreFull
    │   ├── NameTaken
    │   ├── StandbyTaken
    │   ├── BindingUnknown
    │   ├── VMBusy
    │   ├── VMGone
    │   └── TaskFailed
    ├── GuestError
    │   ├── GuestUnreachable
    │   ├── GuestIdentityMismatch
    │   └── GuestRefused
    ├── CertificatePending         nobody has signed it yet
    ├── CertificateRefused
    └── KubeError
        ├── KubeUnavailable
        │   └── LeaseLost
        ├── KubeNotFound
        ├── KubeConflict
        └── KubeForbidden

`reason` is CamelCase and used unchanged as condition reason, event reason and metric label. `retry_after` is the first
delay in seconds before the same thing is tried again (the loops double it up to five minutes), or None when trying
again cannot help.
"""

from typing import Any, ClassVar


class ProviderError(Exception):
    """Base of all. `str(error)` is one sentence for a person: what is wrong, and where possible the remedy."""

    reason: ClassVar[str] = "ProviderError"
    retry_after: ClassVar[float | None] = 1.0


class UnsupportedPod(ProviderError):
    """The Pod asks for what a pod VM cannot honour; `field` is the path in the Pod, e.g. `spec.hostPID`."""

    reason = "UnsupportedPodSpec"
    retry_after = None

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field


class ExceedsVMClass(UnsupportedPod):
    """The Pod wants more CPU or memory than the VM class has."""

    reason = "ExceedsVMClass"


class NamespaceNotListed(UnsupportedPod):
    """Namespaces are isolated from one another, and the Pod's has no network: `spec.podNetwork.namespaces`."""

    reason = "NamespaceNotListed"

    def __init__(self, namespace: str) -> None:
        super().__init__(
            "metadata.namespace",
            f"the namespace {namespace} has no network on this node, where namespaces are isolated from one another: "
            "those that have one are listed in the VirtualContainerHost's spec.podNetwork.namespaces",
        )


class OutOfResource(ProviderError):
    """The Pod does not fit beside those that are admitted. `reason` is the kubelet's: OutOfcpu, OutOfmemory, OutOfpods.

    Words: the kubelet's `InsufficientResourceError` (pkg/kubelet/lifecycle/predicate.go).
    """

    reason = "OutOfResource"
    retry_after = None

    def __init__(self, resource: str, requested: int, used: int, capacity: int) -> None:
        super().__init__(
            f"Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
        )
        self.resource = resource
        self.reason = f"OutOf{resource}"  # type: ignore[misc]


class NoParentReady(ProviderError):
    """No parent can be cloned from for this Pod now; tried again when one becomes ready."""

    reason = "NoParentReady"
    retry_after = 2.0


class PredecessorRuns(ProviderError):
    """The VM of an older Pod of the same name may still run: at most one may."""

    reason = "PredecessorRuns"
    retry_after = 5.0


class ImagePending(ProviderError):
    """Not known yet; becomes known, or another error, by itself."""

    reason = "ImagePending"


class ParentFailed(ProviderError):
    """A parent could not be prepared: its agent said why, or did not freeze in time."""

    reason = "ParentFailed"
    retry_after = 10.0


class AddressesExhausted(ProviderError):
    """Every address of the pod VMs' or the Pods' ranges is in use; ends by itself when a Pod goes."""

    reason = "AddressesExhausted"
    retry_after = 5.0


class ConfigurationError(ProviderError):
    """Base of what an admin has to put right; looked at again, because that happens outside our sight."""

    reason = "ConfigurationError"
    retry_after = 5.0


class InvalidSpec(ConfigurationError):
    """A field of the VCH that no schema can check; `field` is its path, e.g. `spec.network.ranges`."""

    reason = "InvalidSpec"

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field


class SecretNotFound(ConfigurationError):
    """A Secret that the VCH names does not exist in the operator's namespace."""

    reason = "SecretNotFound"


class SecretInvalid(ConfigurationError):
    """A Secret lacks a key, or a value is not what it should be; the message names the key."""

    reason = "SecretInvalid"


class CABundleNotFound(ConfigurationError):
    """`spec.vCenter.caBundleRef` names an object or a key that does not exist."""

    reason = "CABundleNotFound"


class AddressNotServed(ConfigurationError):
    """The kubelet API cannot listen on `spec.node.address`, or on VCH_POD_IP."""

    reason = "AddressNotServed"


class PodAddressUnknown(ConfigurationError):
    """VCH_POD_IP is not given, so that nothing can be behind the Service of a virtual node's kubelet API."""

    reason = "PodAddressUnknown"


class ServiceUnusable(ConfigurationError):
    """The Service of a virtual node's kubelet API is not one with the node's address."""

    reason = "ServiceUnusable"


class CertificateUnusable(ConfigurationError):
    """The files of the kubelet API's certificate are not what they should be."""

    reason = "CertificateUnusable"


class CertificatePending(ProviderError):
    """A virtual node's certificate was asked for and approved, and its signer has not signed it yet."""

    reason = "CertificatePending"
    retry_after = 5.0


class CertificateRefused(ProviderError):
    """A virtual node's certificate was denied, or its signer failed; the message has its words."""

    reason = "CertificateRefused"
    retry_after = 30.0


class VSphereError(ProviderError):
    """Base of what vCenter, or the way to it, answered."""

    reason = "VSphereError"


class VCenterUnreachable(VSphereError):
    """No connection, a time-out, or the connection broke in the middle of a call (the call may have worked)."""

    reason = "VCenterUnreachable"


class InvalidLogin(VSphereError):
    """User name or password refused."""

    reason = "InvalidLogin"
    retry_after = 30.0


class CertificateMismatch(VSphereError):
    """vCenter's certificate is not the one pinned, or not signed by the given CA."""

    reason = "CertificateMismatch"
    retry_after = 30.0


class NoPermission(VSphereError):
    """The account lacks a privilege; the message names the privilege and the object."""

    reason = "NoPermission"
    retry_after = 30.0


class InventoryObjectNotFound(VSphereError):
    """A name of the VCH's spec does not resolve; the message lists the names that would."""

    reason = "InventoryObjectNotFound"
    retry_after = 10.0


class DatacenterNotFound(InventoryObjectNotFound):
    """`spec.placement.datacenter`."""

    reason = "DatacenterNotFound"


class ComputeClusterNotFound(InventoryObjectNotFound):
    """`spec.placement.computeCluster`."""

    reason = "ComputeClusterNotFound"


class HostNotFound(InventoryObjectNotFound):
    """One of `spec.placement.hosts` is not in the cluster."""

    reason = "HostNotFound"


class FolderNotFound(InventoryObjectNotFound):
    """`spec.placement.folder`."""

    reason = "FolderNotFound"


class ResourcePoolNotFound(InventoryObjectNotFound):
    """`spec.placement.resourcePool`."""

    reason = "ResourcePoolNotFound"


class DatastoreNotFound(InventoryObjectNotFound):
    """`spec.placement.datastore` is not one of the cluster's."""

    reason = "DatastoreNotFound"


class PortGroupNotFound(InventoryObjectNotFound):
    """`spec.network.portGroup`, `spec.podNetwork.portGroup` or one of `spec.podNetwork.namespaces` is not one of the
    cluster's."""

    reason = "PortGroupNotFound"


class TemplateNotFound(InventoryObjectNotFound):
    """`spec.source.inventoryTemplate` of a PodVMImage."""

    reason = "TemplateNotFound"


class TemplateUnsuitable(VSphereError):
    """The template of a PodVMImage is not such that pod VMs can be made of it; the message says what it lacks."""

    reason = "TemplateUnsuitable"
    retry_after = 30.0


class LibraryItemNotFound(InventoryObjectNotFound):
    """`spec.source.contentLibraryItem` of a PodVMImage: no such library, no such item in it, or no VM in the item."""

    reason = "LibraryItemNotFound"


class ParentNotFound(InventoryObjectNotFound):
    """A parent, or what one is made from, is gone from the inventory."""

    reason = "ParentNotFound"


class AmbiguousName(InventoryObjectNotFound):
    """A name means several objects; the message lists the inventory paths to choose from."""

    reason = "AmbiguousName"


class OVAInvalid(VSphereError):
    """`spec.source.ova` of a PodVMImage: cannot be fetched, is not what its SHA-256 says, or holds no VM."""

    reason = "OVAInvalid"
    retry_after = 30.0


class ParentNotFrozen(VSphereError):
    """The parent is not at its freeze point. Cloning a running VM would grow its disk chain (VMware KB 67186)."""

    reason = "ParentNotFrozen"
    retry_after = 2.0


class ParentUnsuitable(VSphereError):
    """vSphere does not instant-clone a VM with the parent's devices or settings. Only another image or class helps."""

    reason = "ParentUnsuitable"
    retry_after = 60.0


class ParentExhausted(VSphereError):
    """The parent's disk chain is too long for a further clone (VMware KB 67186): it has to be made anew."""

    reason = "ParentExhausted"
    retry_after = 5.0


class HostUnavailable(VSphereError):
    """The host is in maintenance, disconnected, or cannot reach its datastore: take a parent on another one."""

    reason = "HostUnavailable"
    retry_after = 5.0


class InsufficientResources(VSphereError):
    """Host or pool refuses for lack of resources."""

    reason = "InsufficientResources"
    retry_after = 10.0


class DatastoreFull(InsufficientResources):
    """No space left for a VM's disks or swap file."""

    reason = "DatastoreFull"
    retry_after = 30.0


class NameTaken(VSphereError):
    """A VM of that name is in the folder already: look the pod UID up and adopt it."""

    reason = "NameTaken"


class StandbyTaken(VSphereError):
    """The standby VM was changed since it was seen: somebody else may have bound it. Take another one."""

    reason = "StandbyTaken"
    retry_after = 0.1


class BindingUnknown(VSphereError):
    """Binding a standby VM has failed in a way that leaves open whether it is bound."""

    reason = "BindingUnknown"


class VMBusy(VSphereError):
    """TaskInProgress, ConcurrentAccess: another operation holds the VM."""

    reason = "VMBusy"


class VMGone(VSphereError):
    """The managed object does not exist any more. For a delete that is success."""

    reason = "VMGone"
    retry_after = None


class TaskFailed(VSphereError):
    """Any other fault of a task; the message carries vSphere's own text and the fault's type."""

    reason = "TaskFailed"
    retry_after = 5.0


class GuestError(ProviderError):
    """Base of what goes wrong between provider and guest agent."""

    reason = "GuestError"


class GuestUnreachable(GuestError):
    """No TCP or TLS connection, or the connection broke."""

    reason = "GuestUnreachable"


class GuestIdentityMismatch(GuestError):
    """The certificate at the guest's address is not the pinned one: not our guest. Nothing was sent."""

    reason = "GuestIdentityMismatch"
    retry_after = 5.0


class GuestRefused(GuestError):
    """The agent refuses to serve (a clone of a clone, another Pod's VM). It never will: the VM must be replaced."""

    reason = "GuestRefused"
    retry_after = None


class NoLease(GuestError):
    """The network's DHCP server gives the Pod no address. Its agent goes on asking."""

    reason = "NoLease"


class AddressRefused(GuestError):
    """What a DHCP server gave is no address for a Pod. The agent declines it and asks for another."""

    reason = "AddressRefused"


class KubeError(ProviderError):
    """Base of what the API server answered: `code` is HTTP's (0: no answer), `status` its metav1.Status, if any."""

    reason = "KubeError"

    def __init__(self, message: str, *, code: int = 0, status: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class KubeUnavailable(KubeError):
    """No answer, 429 or 5xx."""

    reason = "KubeUnavailable"


class LeaseLost(KubeUnavailable):
    """This replica does not hold the VCH's Lease (any more): nothing was sent. Another one takes over.

    For a guest that relays a write, and for whoever waits, it is as if the API server were away for a moment; it is
    raised before writes to vCenter as well.
    """

    reason = "LeaseLost"


class KubeNotFound(KubeError):
    """404."""

    reason = "KubeNotFound"
    retry_after = None


class KubeConflict(KubeError):
    """409: the object changed, or a UID precondition did not hold."""

    reason = "KubeConflict"
    retry_after = None


class KubeForbidden(KubeError):
    """401 or 403."""

    reason = "KubeForbidden"
    retry_after = 30.0
