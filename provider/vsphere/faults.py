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
    DatastoreFull,
    HostUnavailable,
    InsufficientResources,
    InvalidLogin,
    NameTaken,
    NoPermission,
    ParentExhausted,
    ParentNotFound,
    ParentNotFrozen,
    ParentUnsuitable,
    ProviderError,
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
    vim.fault.InsufficientStorageSpace: DatastoreFull,
    vim.fault.NoDiskSpace: DatastoreFull,
    vim.fault.InvalidHostState: HostUnavailable,
    vim.fault.NoCompatibleHost: HostUnavailable,
    vim.fault.CannotAccessFile: HostUnavailable,
    vim.fault.InaccessibleDatastore: HostUnavailable,
    vim.fault.DatastoreNotWritableOnHost: HostUnavailable,
    vmodl.fault.ManagedObjectNotFound: VMGone,
    vmodl.fault.HostCommunication: VCenterUnreachable,  # in the middle of a call: nobody knows how it ended
    vmodl.fault.HostNotConnected: HostUnavailable,
    vmodl.fault.HostNotReachable: HostUnavailable,
    vim.fault.NotAuthenticated: InvalidLogin,
}

_OF_A_CLONE: Mapping[type[Exception], type[VSphereError]] = {
    vim.fault.InvalidState: ParentNotFrozen,
    vim.fault.DisallowedMigrationDeviceAttached: ParentUnsuitable,
    vmodl.fault.InvalidArgument: ParentUnsuitable,
    vmodl.fault.NotSupported: ParentUnsuitable,
    vmodl.fault.ManagedObjectNotFound: ParentNotFound,
}

_EXHAUSTED = "prepare migration"
"""Of "Unable to prepare migration.", the only word of a disk chain that is full (VMware KB 67186)."""

_BROKEN = (OSError, http.client.HTTPException, EOFError)


def translate(error: Exception) -> ProviderError:
    """The provider's error for what pyVmomi raised."""
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return CertificateMismatch(f"vCenter's certificate is not trusted: {getattr(error, 'verify_message', error)}")
    if isinstance(error, _BROKEN):
        return VCenterUnreachable(f"no answer from vCenter: {str(error) or type(error).__name__}")
    if isinstance(error, vmodl.fault.MethodNotFound):
        return TaskFailed(f"vCenter does not know {error.method}: instant clones need vCenter 6.7 or later")
    return _look_up(error, _TABLE)


def translate_clone(error: Exception) -> ProviderError:
    """As `translate`, for an instant clone, where some faults speak of the parent.

    InvalidState is raised both for a host in maintenance and for a parent that does not run (API reference of
    InstantClone_Task): `vcenter` looks which it was.
    """
    text = describe(error)
    if isinstance(error, vmodl.fault.SystemError | vim.fault.GenericVmConfigFault) and _EXHAUSTED in text.lower():
        return ParentExhausted(f"the parent VM has been cloned too often: {text}")
    if isinstance(error, vmodl.fault.MethodNotFound):
        return translate(error)
    for kind in type(error).__mro__:
        if kind in _TABLE and kind not in _OF_A_CLONE:
            break
        if kind in _OF_A_CLONE:
            return _OF_A_CLONE[kind](f"the parent VM cannot be cloned: {text}")
    return translate(error)


def _look_up(error: Exception, table: Mapping[type[Exception], type[VSphereError]]) -> VSphereError:
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind](describe(error))
    return TaskFailed(describe(error))


def describe(error: Exception) -> str:
    """One sentence with the fault's type and vSphere's own words."""
    kind = type(error).__name__.rpartition(".")[2]
    if isinstance(error, vim.fault.NoPermission):
        at = moref(error.object)
        return f"the account lacks the privilege {error.privilegeId or 'that is needed'}" + (f" on {at}" if at else "")
    said = getattr(error, "msg", None) if isinstance(error, vmodl.MethodFault) else str(error)
    words = [str(said or ""), str(getattr(error, "reason", "") or "")]
    words += [str(part.message) for part in getattr(error, "faultMessage", None) or () if part.message]
    argument = getattr(error, "invalidProperty", None)
    words.append(f"the argument {argument} is not accepted" if argument else "")
    cause = getattr(error, "faultCause", None)
    if cause is not None:
        words.append(describe(cause))
    text = "; ".join(dict.fromkeys(word for word in words if word))
    return f"{text} ({kind})" if text else kind


def is_expired(error: Exception) -> bool:
    """The session is gone: log in again, once."""
    return isinstance(error, vim.fault.NotAuthenticated)


def moref(thing: object) -> str:
    """The managed object ID of a reference, e.g. vm-52."""
    return str(getattr(thing, "_moId", "") or "")
