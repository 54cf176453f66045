// Package simulator is govmomi's; this file has the preconditions of
// InstantClone_Task and their faults.
//
// They follow the vSphere Web Services API reference: InstantClone_Task,
// InstantCloneSpec and CheckInstantClone_Task. Where these contradict each
// other Modes say which one holds.
package simulator

import (
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const entityNameLimit = 80 // Folder.CreateFolder: "less than 80 characters"

// check tells the first precondition that does not hold. The source's lock is
// held.
func (c *instantClone) check() types.BaseMethodFault {
	vm := c.source
	switch {
	case c.ctx.Map.IsESX():
		return new(types.NotSupported) // "vCenter only"
	case c.spec.Name == "":
		return &types.InvalidArgument{InvalidProperty: "spec.name"}
	case len(c.spec.Name) >= entityNameLimit || strings.ContainsAny(c.spec.Name, `/\`) || strayPercent(c.spec.Name):
		return &types.InvalidName{Name: c.spec.Name}
	case vm.Config.Template:
		return &types.InvalidArgument{InvalidProperty: "vm"}
	case vm.Runtime.PowerState != poweredOn && c.modes.SourceOff == "InvalidArgument":
		return &types.InvalidArgument{InvalidProperty: "vm"}
	case vm.Runtime.PowerState != poweredOn:
		return new(types.InvalidState)
	}
	if c.modes.Location == "ignore" {
		c.spec.Location = types.VirtualMachineRelocateSpec{}
	}
	if fault := c.checkLocation(); fault != nil {
		return fault
	}
	if fault := c.checkPlacement(); fault != nil {
		return fault
	}
	if fault := c.checkDevices(); fault != nil {
		return fault
	}
	return c.checkResources()
}

// strayPercent finds a % that escapes nothing: only %25, %2f and %5c are names.
func strayPercent(name string) bool {
	for _, rest := range strings.Split(name, "%")[1:] {
		rest = strings.ToLower(rest)
		if !strings.HasPrefix(rest, "25") && !strings.HasPrefix(rest, "2f") && !strings.HasPrefix(rest, "5c") {
			return true
		}
	}
	return false
}

// checkLocation is about what InstantCloneSpec's location cannot have.
func (c *instantClone) checkLocation() types.BaseMethodFault {
	location := c.spec.Location
	switch lenient := c.modes.Location == "allow"; {
	case location.Host != nil && (!lenient || *location.Host != *c.source.Runtime.Host):
		return &types.InvalidArgument{InvalidProperty: "spec.location.host"}
	case location.Datastore != nil && !lenient:
		return &types.InvalidArgument{InvalidProperty: "spec.location.datastore"}
	case location.Disk != nil || location.DiskMoveType != "" || location.Transform != "":
		return &types.InvalidArgument{InvalidProperty: "spec.location.disk"}
	case location.Profile != nil || location.Service != nil || location.CryptoSpec != nil:
		return &types.InvalidArgument{InvalidProperty: "spec.location.profile"}
	}
	return nil
}

func (c *instantClone) checkPlacement() types.BaseMethodFault {
	vm, location := c.source, c.spec.Location
	c.host = *vm.Runtime.Host
	if fault := usableHost(c.ctx, c.host); fault != nil {
		return fault
	}
	host := c.ctx.Map.Get(c.host).(*HostSystem)
	if location.Datastore != nil {
		datastore, ok := c.ctx.Map.Get(*location.Datastore).(*Datastore)
		if !ok || FindReference(host.Datastore, *location.Datastore) == nil {
			return &types.InvalidDatastore{Datastore: location.Datastore}
		}
		c.datastore = datastore.Name
	}
	folder := *vm.Parent
	if location.Folder != nil {
		folder = *location.Folder
	}
	var ok bool
	if c.folder, ok = c.ctx.Map.Get(folder).(*Folder); !ok || !folderHasChildType(&c.folder.Folder, "VirtualMachine") {
		return &types.InvalidArgument{InvalidProperty: "spec.location.folder"}
	}
	c.pool = *vm.ResourcePool
	if location.Pool != nil {
		c.pool = *location.Pool
	}
	pool, ok := c.ctx.Map.Get(c.pool).(mo.Entity)
	if _, isPool := asResourcePoolMO(c.ctx.Map.Get(c.pool)); !ok || !isPool {
		return &types.InvalidArgument{InvalidProperty: "spec.location.pool"}
	}
	if c.ctx.Map.getEntityComputeResource(pool).Reference() != *host.Parent {
		return &types.InvalidArgument{InvalidProperty: "spec.location.pool"} // not the host's compute resource
	}
	return nil
}

// checkDevices: "only allowed device changes are edits of VirtualEthernetCard
// and file-backed Serial/Parallel ports".
func (c *instantClone) checkDevices() types.BaseMethodFault {
	devices := object.VirtualDeviceList(c.source.Config.Hardware.Device)
	for _, change := range c.spec.Location.DeviceChange {
		edit := change.GetVirtualDeviceConfigSpec()
		allowed := edit.Operation == types.VirtualDeviceConfigSpecOperationEdit &&
			edit.Device != nil && devices.FindByKey(edit.Device.GetVirtualDevice().Key) != nil
		if !allowed || !editable(edit.Device) {
			return new(types.DisallowedMigrationDeviceAttached)
		}
	}
	for _, device := range devices {
		if _, persistent := device.(*types.VirtualNVDIMM); persistent {
			return &types.InvalidArgument{InvalidProperty: "vm"}
		}
		if cause := unshareable(device); cause != nil {
			return &types.DisallowedMigrationDeviceAttached{Fault: types.LocalizedMethodFault{
				Fault: cause, LocalizedMessage: localized(cause),
			}}
		}
	}
	return nil
}

func editable(device types.BaseVirtualDevice) bool {
	switch device := device.(type) {
	case types.BaseVirtualEthernetCard:
		return true
	case *types.VirtualSerialPort:
		_, file := device.Backing.(*types.VirtualSerialPortFileBackingInfo)
		return file
	case *types.VirtualParallelPort:
		_, file := device.Backing.(*types.VirtualParallelPortFileBackingInfo)
		return file
	}
	return false
}

// unshareable tells why a device keeps its VM from being instant-cloned.
func unshareable(device types.BaseVirtualDevice) types.BaseMethodFault {
	switch backing := device.GetVirtualDevice().Backing.(type) {
	case *types.VirtualDiskRawDiskMappingVer1BackingInfo:
		return new(types.RawDiskNotSupported)
	case *types.VirtualCdromRemotePassthroughBackingInfo, *types.VirtualCdromRemoteAtapiBackingInfo,
		*types.VirtualFloppyRemoteDeviceBackingInfo:
		return new(types.RemoteDeviceNotSupported)
	case *types.VirtualDiskFlatVer2BackingInfo:
		if backing.Sharing == string(types.VirtualDiskSharingSharingMultiWriter) {
			return new(types.DeviceNotSupported)
		}
	}
	switch device := device.(type) {
	case *types.VirtualPCIPassthrough:
		return new(types.DeviceNotSupported)
	case types.BaseVirtualSCSIController:
		shared := device.GetVirtualSCSIController().SharedBus
		if shared != "" && shared != types.VirtualSCSISharingNoSharing {
			return new(types.SharedBusControllerNotSupported)
		}
	}
	return nil
}
