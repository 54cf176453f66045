"""What is sent to vSphere. Builds, calls nothing.

`location` of an instant clone holds folder and pool only: host and datastore are rejected by CheckInstantClone_Task,
and all else is documented as unsupported (InstantCloneSpec). CPU and memory cannot change in an instant clone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pyVmomi import vim

from provider import guestinfo
from provider.parentvm import MakeParent, Placement


def instant_clone_spec(name: str, extra_config: Mapping[str, str], placement: Placement) -> vim.vm.InstantCloneSpec:
    """Of a pod VM, a standby VM or a fork."""
    return vim.vm.InstantCloneSpec(
        name=name,
        location=vim.vm.RelocateSpec(
            folder=vim.Folder(placement.folder), pool=vim.ResourcePool(placement.resource_pool)
        ),
        config=options(extra_config),
    )


def full_clone_spec(
    request: MakeParent, placement: Placement, device_changes: Sequence[vim.vm.device.VirtualDeviceSpec]
) -> vim.vm.CloneSpec:
    """Of a parent: everything that its instant clones cannot change is decided here."""
    location = vim.vm.RelocateSpec(
        host=vim.HostSystem(request.host),
        pool=vim.ResourcePool(placement.resource_pool),
        folder=vim.Folder(placement.folder),
    )
    if placement.datastore:
        location.datastore = vim.Datastore(placement.datastore)
    return vim.vm.CloneSpec(
        location=location,
        powerOn=False,
        template=False,
        config=vim.vm.ConfigSpec(
            numCPUs=request.cpus,
            # The template's own may not divide the number of CPUs, which is refused.
            numCoresPerSocket=1,
            memoryMB=request.memory_mib,
            deviceChange=list(device_changes),
            extraConfig=options(request.extra_config),
        ),
    )


def cards_on(backing: Any, devices: Sequence[Any]) -> list[vim.vm.device.VirtualDeviceSpec]:
    """Edits that put every network card among the devices on one port group."""
    edits = []
    for device in devices:
        if isinstance(device, vim.vm.device.VirtualEthernetCard):
            device.backing = backing
            edits.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=device))
    return edits


def pin_spec(fingerprint: str) -> vim.vm.ConfigSpec:
    """Writes the pin where the guest cannot."""
    return vim.vm.ConfigSpec(extraConfig=options({guestinfo.PIN: fingerprint}))


def bind_spec(change_version: str, extra_config: Mapping[str, str]) -> vim.vm.ConfigSpec:
    """Refused with ConcurrentAccess if the VM was changed since (VirtualMachineConfigSpec.changeVersion)."""
    return vim.vm.ConfigSpec(changeVersion=change_version, extraConfig=options(extra_config))


def options(values: Mapping[str, str]) -> list[vim.option.OptionValue]:
    return [vim.option.OptionValue(key=key, value=value) for key, value in values.items()]
