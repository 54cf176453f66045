"""What is sent to vSphere. Builds, calls nothing.

`location` holds folder and pool only: host and datastore are rejected by CheckInstantClone_Task, and all else is
documented as unsupported (InstantCloneSpec). CPU and memory cannot change in an instant clone.
"""

from collections.abc import Mapping

from pyVmomi import vim

from provider import guestinfo
from provider.podvm import CloneRequest, Placement


def clone_spec(request: CloneRequest, placement: Placement) -> vim.vm.InstantCloneSpec:
    """The spec of one instant clone."""
    return vim.vm.InstantCloneSpec(
        name=request.name,
        location=vim.vm.RelocateSpec(
            folder=vim.Folder(placement.folder), pool=vim.ResourcePool(placement.resource_pool)
        ),
        config=options(request.extra_config),
    )


def pin_spec(fingerprint: str) -> vim.vm.ConfigSpec:
    """Writes the pin where the guest cannot."""
    return vim.vm.ConfigSpec(extraConfig=options({guestinfo.PIN: fingerprint}))


def options(values: Mapping[str, str]) -> list[vim.option.OptionValue]:
    return [vim.option.OptionValue(key=key, value=value) for key, value in values.items()]
