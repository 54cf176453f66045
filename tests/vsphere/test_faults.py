"""Which fault means what: the table of reactions, fault by fault."""

import http.client
import ssl
from typing import Any

import pytest
from pyVmomi import vim, vmodl

from provider import errors
from provider.vsphere import faults


def fault(kind: Any, **fields: Any) -> Exception:
    made: Exception = kind(**fields)
    return made


EXHAUSTED = fault(
    vmodl.fault.SystemError,
    msg="A general system error occurred",
    faultCause=fault(
        vim.fault.GenericVmConfigFault,
        reason="",
        faultMessage=[vmodl.LocalizableMessage(key="msg.migrate.prepare", message="Unable to prepare migration.")],
    ),
)


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (EXHAUSTED, errors.ParentExhausted),
        (fault(vim.fault.GenericVmConfigFault, reason="Unable to prepare migration."), errors.ParentExhausted),
        (fault(vmodl.fault.SystemError, reason="out of luck"), errors.TaskFailed),
        (fault(vim.fault.DisallowedMigrationDeviceAttached), errors.ParentUnsuitable),
        (fault(vmodl.fault.InvalidArgument, invalidProperty="vm"), errors.ParentUnsuitable),
        (fault(vmodl.fault.NotSupported), errors.ParentUnsuitable),
        (fault(vim.fault.InvalidState), errors.ParentNotFrozen),
        (fault(vim.fault.InvalidPowerState), errors.ParentNotFrozen),
        (fault(vim.fault.InvalidHostConnectionState), errors.HostUnavailable),
        (fault(vmodl.fault.HostNotConnected), errors.HostUnavailable),
        (fault(vmodl.fault.HostCommunication), errors.VCenterUnreachable),
        (fault(vim.fault.InsufficientMemoryResourcesFault), errors.InsufficientResources),
        (fault(vim.fault.InsufficientStorageSpace), errors.DatastoreFull),
        (fault(vim.fault.NoDiskSpace), errors.DatastoreFull),
        (fault(vim.fault.CannotAccessFile), errors.HostUnavailable),
        (fault(vim.fault.DuplicateName), errors.NameTaken),
        (fault(vim.fault.TaskInProgress), errors.VMBusy),
        (fault(vmodl.fault.ManagedObjectNotFound), errors.ParentNotFound),
        (fault(vmodl.fault.MethodNotFound, method="InstantClone_Task"), errors.TaskFailed),
        (fault(vim.fault.NoPermission, privilegeId="Network.Assign"), errors.NoPermission),
        (TimeoutError("timed out"), errors.VCenterUnreachable),
        (http.client.BadStatusLine(""), errors.VCenterUnreachable),
        (errors.NameTaken("x"), errors.NameTaken),
    ],
)
def test_what_a_fault_of_an_instant_clone_means(raised: Exception, error: type[Exception]) -> None:
    assert type(faults.translate_clone(raised)) is error


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (fault(vmodl.fault.InvalidArgument), errors.TaskFailed),
        (fault(vim.fault.InvalidState), errors.TaskFailed),
        (fault(vmodl.fault.ManagedObjectNotFound), errors.VMGone),
        (fault(vim.fault.NoCompatibleHost), errors.HostUnavailable),
        (ssl.SSLCertVerificationError("no"), errors.CertificateMismatch),
        (AttributeError("what"), errors.TaskFailed),
    ],
)
def test_what_a_fault_of_anything_else_means(raised: Exception, error: type[Exception]) -> None:
    assert type(faults.translate(raised)) is error


def test_vspheres_own_words_and_the_causes_are_kept() -> None:
    assert faults.describe(EXHAUSTED) == (
        "A general system error occurred; Unable to prepare migration. (GenericVmConfigFault) (SystemError)"
    )
    assert "argument vm is not accepted" in faults.describe(fault(vmodl.fault.InvalidArgument, invalidProperty="vm"))
