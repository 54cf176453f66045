"""Every error of the provider, by what it means for the Pod or the VCH and whether trying again can help.

Not the faults of a library: those are translated once, at the edge (`vsphere.faults`, `kube`, `guest.link`), with the
library's error chained as the cause.

    ProviderError
    ├── UnsupportedPod             terminal: the Pod is refused before a VM exists
    │   └── ExceedsVMClass
    ├── AddressesExhausted
    ├── ConfigurationError         the VCH, or what it refers to, is not as it should be
    │   ├── InvalidSpec
    │   ├── SecretNotFound
    │   ├── SecretInvalid
    │   ├── CABundleNotFound
    │   └── AddressNotServed
    ├── VSphereError
    │   ├── VCenterUnreachable
    │   ├── InvalidLogin
    │   ├── CertificateMismatch
    │   ├── NoPermission
    │   ├── InventoryObjectNotFound
    │   │   ├── FolderNotFound
    │   │   ├── ResourcePoolNotFound
    │   │   └── ParentNotFound
    │   ├── ParentNotFrozen
    │   ├── InsufficientResources
    │   ├── NameTaken
    │   ├── VMBusy
    │   ├── VMGone
    │   └── TaskFailed
    ├── GuestError
    │   ├── GuestUnreachable
    │   ├── GuestIdentityMismatch
    │   └── GuestRefused
    └── KubeError
        ├── KubeUnavailable
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


class AddressesExhausted(ProviderError):
    """Every address of the VCH's ranges is in use; ends by itself when a Pod goes."""

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
    """The kubelet API cannot listen on `spec.node.address`."""

    reason = "AddressNotServed"


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


class FolderNotFound(InventoryObjectNotFound):
    """`spec.placement.folder`."""

    reason = "FolderNotFound"


class ResourcePoolNotFound(InventoryObjectNotFound):
    """`spec.placement.resourcePool`."""

    reason = "ResourcePoolNotFound"


class ParentNotFound(InventoryObjectNotFound):
    """A parent VM."""

    reason = "ParentNotFound"


class ParentNotFrozen(VSphereError):
    """The parent is not at its freeze point. Cloning a running VM would grow its disk chain (VMware KB 67186)."""

    reason = "ParentNotFrozen"
    retry_after = 2.0


class InsufficientResources(VSphereError):
    """Host, pool or datastore refuses for lack of resources."""

    reason = "InsufficientResources"
    retry_after = 10.0


class NameTaken(VSphereError):
    """A VM of that name is in the folder already: look the pod UID up and adopt it."""

    reason = "NameTaken"


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
