"""What is sent to vSphere. Builds, calls nothing.

`location` of an instant clone holds folder, pool and edits of network cards only: host and datastore are rejected by
CheckInstantClone_Task, and all else is documented as unsupported (InstantCloneSpec). CPU and memory cannot change in an
instant clone.
"""

from collections.abc import Mapping, Sequence

from pyVmomi import vim

from provider import guestinfo
from provider.parentvm import MakeParent, Placement

DeviceChanges = Sequence[vim.vm.device.VirtualDeviceSpec]


def instant_clone_spec(
    name: str, extra_config: Mapping[str, str], placement: Placement, cards: DeviceChanges
) -> vim.vm.InstantCloneSpec:
    """Of a pod VM, a standby VM or a fork."""
    location = vim.vm.RelocateSpec(folder=vim.Folder(placement.folder), pool=vim.ResourcePool(placement.resource_pool))
    if cards:
        location.deviceChange = list(cards)
    return vim.vm.InstantCloneSpec(name=name, location=location, config=options(extra_config))


def full_clone_spec(request: MakeParent, placement: Placement, cards: DeviceChanges) -> vim.vm.CloneSpec:
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
            deviceChange=list(cards),
            extraConfig=options(request.extra_config),
        ),
    )


def pin_spec(fingerprint: str, cards: DeviceChanges) -> vim.vm.ConfigSpec:
    """Writes the pin where the guest cannot, and connects the network cards of whom it is."""
    return vim.vm.ConfigSpec(extraConfig=options({guestinfo.PIN: fingerprint}), deviceChange=list(cards))


def bind_spec(change_version: str, extra_config: Mapping[str, str]) -> vim.vm.ConfigSpec:
    """Refused with ConcurrentAccess if the VM was changed since (VirtualMachineConfigSpec.changeVersion)."""
    return vim.vm.ConfigSpec(changeVersion=change_version, extraConfig=options(extra_config))


def options(values: Mapping[str, str]) -> list[vim.option.OptionValue]:
    return [vim.option.OptionValue(key=key, value=value) for key, value in values.items()]
