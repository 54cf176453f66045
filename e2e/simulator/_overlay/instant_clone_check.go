// Package simulator is govmomi's; this file has the preconditions of
// InstantClone_Task and their faults.
//
// They follow the vSphere Web Services API reference: InstantClone_Task,
// InstantCloneSpec and CheckInstantClone_Task. Where these contradict each
// other the strict reading is taken, so that no client comes to depend on the
// other one.
package simulator

import (
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	entityNameLimit = 80   // Folder.CreateFolder: "less than 80 characters"
	hostVMLimit     = 1024 // "Virtual machines per host" of vSphere 8's configuration maximums
)

// check tells the first precondition that does not hold. The source's lock is
// held.
func (c *instantClone) check() types.BaseMethodFault {
	vm, location := c.source, c.spec.Location
	switch {
	case c.ctx.Map.IsESX():
		return new(types.NotSupported) // "vCenter only"
	case c.spec.Name == "":
		return &types.InvalidArgument{InvalidProperty: "spec.name"}
	case len(c.spec.Name) >= entityNameLimit || strings.ContainsAny(c.spec.Name, `/\`):
		return &types.InvalidName{Name: c.spec.Name}
	case vm.Config.Template:
		return &types.InvalidArgument{InvalidProperty: "vm"}
	case vm.Runtime.PowerState != poweredOn:
		return new(types.InvalidState) // the reference names InvalidArgument for this, too
	case location.Host != nil:
		return &types.InvalidArgument{InvalidProperty: "spec.location.host"}
	case location.Datastore != nil:
		return &types.InvalidArgument{InvalidProperty: "spec.location.datastore"}
	case location.Disk != nil || location.DiskMoveType != "" || location.Transform != "":
		return &types.InvalidArgument{InvalidProperty: "spec.location.disk"}
	case location.Profile != nil || location.Service != nil || location.CryptoSpec != nil:
		return &types.InvalidArgument{InvalidProperty: "spec.location.profile"}
	}
	if fault := c.checkPlacement(); fault != nil {
		return fault
	}
	if fault := c.checkDevices(); fault != nil {
		return fault
	}
	return c.checkResources()
}

func (c *instantClone) checkPlacement() types.BaseMethodFault {
	vm, location := c.source, c.spec.Location
	c.host = *vm.Runtime.Host
	host := c.ctx.Map.Get(c.host).(*HostSystem)
	switch {
	case host.Runtime.InMaintenanceMode:
		return new(types.InvalidState)
	case host.Runtime.ConnectionState != types.HostSystemConnectionStateConnected:
		return new(types.InvalidHostConnectionState) // a kind of InvalidState
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

// checkResources is admission control as far as it is known here: the number of
// VMs on the host, and reservations of a pool that may not borrow.
func (c *instantClone) checkResources() types.BaseMethodFault {
	host := c.ctx.Map.Get(c.host).(*HostSystem)
	if len(host.Vm) >= hostVMLimit {
		return new(types.InsufficientResourcesFault)
	}
	asked := reservedMemory(c.source)
	if asked == 0 {
		return nil
	}
	pool, _ := asResourcePoolMO(c.ctx.Map.Get(c.pool))
	allocation := pool.Config.MemoryAllocation
	if isTrue(allocation.ExpandableReservation) || allocation.Reservation == nil {
		return nil
	}
	left := *allocation.Reservation
	for _, ref := range pool.Vm {
		if vm, ok := c.ctx.Map.Get(ref).(*VirtualMachine); ok && vm.Runtime.PowerState == poweredOn {
			left -= reservedMemory(vm)
		}
	}
	if asked > left {
		return &types.InsufficientMemoryResourcesFault{Unreserved: left << 20, Requested: asked << 20}
	}
	return nil
}

func reservedMemory(vm *VirtualMachine) int64 {
	if allocation := vm.Config.MemoryAllocation; allocation != nil && allocation.Reservation != nil {
		return *allocation.Reservation
	}
	return 0
}
