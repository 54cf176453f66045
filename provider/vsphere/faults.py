"""vim faults and broken connections → `provider.errors`, in one place. The fault is chained as the cause by the caller.

Which fault vSphere raises when is in the API reference of each method; `localized` texts come from vCenter and are kept
in the message, since an admin searches for them.
"""

import http.client
import ssl
from collections.abc import Mapping

from pyVmomi import vim, vmodl

from provider.errors import (
    CertificateMismatch,
    InsufficientResources,
    InvalidLogin,
    NameTaken,
    NoPermission,
    ParentNotFrozen,
    TaskFailed,
    VCenterUnreachable,
    VMBusy,
    VMGone,
    VSphereError,
)

_TABLE: Mapping[type[Exception], type[VSphereError]] = {
    vim.fault.InvalidLogin: InvalidLogin,
    vim.fault.NoPermission: NoPermission,
    vim.fault.DuplicateName: NameTaken,
    vim.fault.TaskInProgress: VMBusy,
    vim.fault.ConcurrentAccess: VMBusy,
    vim.fault.InsufficientResourcesFault: InsufficientResources,
    vim.fault.NoDiskSpace: InsufficientResources,
    vmodl.fault.ManagedObjectNotFound: VMGone,
    vmodl.fault.HostCommunication: VCenterUnreachable,
    vmodl.fault.HostNotConnected: VCenterUnreachable,
    vmodl.fault.HostNotReachable: VCenterUnreachable,
    vim.fault.NotAuthenticated: InvalidLogin,
}

_BROKEN = (OSError, http.client.HTTPException, EOFError)


def translate(error: Exception) -> VSphereError:
    """The provider's error for what pyVmomi raised."""
    if isinstance(error, VSphereError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateMismatch(f"vCenter's certificate is not trusted: {error.verify_message}")
    if isinstance(error, _BROKEN):
        return VCenterUnreachable(f"no answer from vCenter: {str(error) or type(error).__name__}")
    if isinstance(error, vmodl.fault.MethodNotFound):
        return TaskFailed(f"vCenter does not know {error.method}: instant clones need vCenter 6.7 or later")
    for kind in type(error).__mro__:
        if kind in _TABLE:
            return _TABLE[kind](describe(error))
    return TaskFailed(describe(error))


def translate_clone(error: Exception) -> VSphereError:
    """As `translate`; an InvalidState of an instant clone says that the parent cannot be cloned now."""
    if type(error) in (vim.fault.InvalidState, vim.fault.InvalidPowerState):
        return ParentNotFrozen(f"the parent VM cannot be cloned in its present state: {describe(error)}")
    return translate(error)


def describe(error: Exception) -> str:
    """One sentence with the fault's type and vSphere's own words."""
    kind = type(error).__name__.rpartition(".")[2]
    if isinstance(error, vim.fault.NoPermission):
        at = moref(error.object)
        return f"the account lacks the privilege {error.privilegeId or 'that is needed'}" + (f" on {at}" if at else "")
    words = [str(getattr(error, "msg", "") or "")]
    words += [str(part.message) for part in getattr(error, "faultMessage", None) or () if part.message]
    cause = getattr(getattr(error, "faultCause", None), "msg", None)
    text = "; ".join(dict.fromkeys(word for word in (*words, str(cause or "")) if word))
    return f"{text} ({kind})" if text else kind


def is_expired(error: Exception) -> bool:
    """The session is gone: log in again, once."""
    return isinstance(error, vim.fault.NotAuthenticated)


def moref(thing: object) -> str:
    """The managed object ID of a reference, e.g. vm-52."""
    return str(getattr(thing, "_moId", "") or "")
