// Package simulator is govmomi's; this file replaces the methods that start and
// end virtual machines. What only a guest could do (suspend, shut down) VMs
// without a guest leave to upstream.
package simulator

import (
	"time"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	poweredOn  = types.VirtualMachinePowerStatePoweredOn
	poweredOff = types.VirtualMachinePowerStatePoweredOff
)

// PowerOnVMTask boots the guest. The VM is powered on as soon as its guest is
// about to be started, so that what the guest reports comes after it.
func (vm *VirtualMachine) PowerOnVMTask(ctx *Context, req *types.PowerOnVM_Task) soap.HasFault {
	if Guests == nil || vm.Config.Template {
		return vm.upstreamPowerOnVMTask(ctx, req)
	}
	task := vm.guestTask(ctx, "powerOn", func(work *Context) types.BaseMethodFault { return vm.powerOn(work) })
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: task}}
}

// powerOn is called by the VM's exclusive task.
func (vm *VirtualMachine) powerOn(work *Context) types.BaseMethodFault {
	var fault types.BaseMethodFault
	var described GuestVM
	work.WithLock(vm, func() {
		if fault = vm.expect(poweredOff, poweredOn); fault != nil {
			return
		}
		if fault = usableHost(work, *vm.Runtime.Host); fault != nil {
			return
		}
		if fault = vm.roomForSwap(work); fault != nil {
			return
		}
		if fault = ledger.admit(vm.Self, accountOf(&vm.VirtualMachine)); fault != nil {
			return
		}
		work.postEvent(&types.VmStartingEvent{VmEvent: vm.event(work)})
		vm.setPower(work, poweredOn)
		described = vm.guest(work) // as it is now: with its cards connected
	})
	if fault != nil {
		return fault
	}
	if err := Guests.PowerOn(described); err != nil {
		work.WithLock(vm, func() { vm.setPower(work, poweredOff) })
		return &types.GenericVmConfigFault{Reason: err.Error()}
	}
	work.WithLock(vm, func() { work.postEvent(&types.VmPoweredOnEvent{VmEvent: vm.event(work)}) })
	return nil
}

// PowerOffVMTask ends the guest. A frozen VM is frozen no more.
func (vm *VirtualMachine) PowerOffVMTask(ctx *Context, req *types.PowerOffVM_Task) soap.HasFault {
	if Guests == nil {
		return vm.upstreamPowerOffVMTask(ctx, req)
	}
	task := vm.guestTask(ctx, "powerOff", func(work *Context) types.BaseMethodFault {
		var fault types.BaseMethodFault
		work.WithLock(vm, func() {
			if fault = connectedHost(work, *vm.Runtime.Host); fault == nil {
				fault = vm.expect(poweredOn, poweredOff)
			}
		})
		if fault != nil {
			return fault
		}
		if err := Guests.PowerOff(vm.Self); err != nil {
			return SystemError(err)
		}
		work.WithLock(vm, func() {
			vm.setPower(work, poweredOff)
			work.postEvent(&types.VmPoweredOffEvent{VmEvent: vm.event(work)})
		})
		return nil
	})
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: task}}
}

// ResetVMTask boots the guest again. The VM stays powered on, as on vSphere.
func (vm *VirtualMachine) ResetVMTask(ctx *Context, req *types.ResetVM_Task) soap.HasFault {
	if Guests == nil {
		return vm.upstreamResetVMTask(ctx, req)
	}
	task := vm.guestTask(ctx, "reset", func(work *Context) types.BaseMethodFault {
		var fault types.BaseMethodFault
		var described GuestVM
		work.WithLock(vm, func() {
			if fault = connectedHost(work, *vm.Runtime.Host); fault != nil {
				return
			}
			if fault = vm.expect(poweredOn, poweredOn); fault == nil {
				ledger.booted(vm.Self)
				work.postEvent(&types.VmResettingEvent{VmEvent: vm.event(work)})
				vm.setPower(work, poweredOn)
				described = vm.guest(work)
			}
		})
		if fault != nil {
			return fault
		}
		if err := Guests.Reset(described); err != nil {
			work.WithLock(vm, func() { vm.setPower(work, poweredOff) })
			return SystemError(err)
		}
		return nil
	})
	return &methods.ResetVM_TaskBody{Res: &types.ResetVM_TaskResponse{Returnval: task}}
}

// DestroyTask removes the guest, then the VM and its files.
func (vm *VirtualMachine) DestroyTask(ctx *Context, req *types.Destroy_Task) soap.HasFault {
	if Guests == nil {
		return vm.upstreamDestroyTask(ctx, req)
	}
	task := vm.guestTask(ctx, "destroy", func(work *Context) types.BaseMethodFault {
		var fault types.BaseMethodFault
		work.WithLock(vm, func() { fault = connectedHost(work, *vm.Runtime.Host) })
		if fault != nil {
			return fault
		}
		return vm.destroy(work)
	})
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: task}}
}

// destroy is called by the VM's exclusive task.
func (vm *VirtualMachine) destroy(work *Context) types.BaseMethodFault {
	var fault types.BaseMethodFault
	work.WithLock(vm, func() { fault = vm.expect(poweredOff, poweredOff) })
	if fault != nil {
		return fault
	}
	if work.Map.Get(vm.Self) == nil {
		return &types.ManagedObjectNotFound{Obj: vm.Self}
	}
	if err := Guests.Remove(vm.Self); err != nil {
		return SystemError(err)
	}
	work.WithLock(vm, func() {
		datacenter := work.Map.getEntityDatacenter(vm).Self
		if failed := vm.UnregisterVM(work, &types.UnregisterVM{This: vm.Self}).Fault(); failed != nil {
			fault, _ = failed.VimFault().(types.BaseMethodFault)
			return
		}
		removal, err := object.VirtualDeviceList(vm.Config.Hardware.Device).
			ConfigSpec(types.VirtualDeviceConfigSpecOperationRemove)
		if err == nil {
			vm.configureDevices(work, &types.VirtualMachineConfigSpec{DeviceChange: removal})
		}
		files := work.Map.FileManager()
		files.DeleteDatastoreFileTask(work, &types.DeleteDatastoreFile_Task{
			This: files.Reference(), Name: vm.Config.Files.LogDirectory, Datacenter: &datacenter,
		})
	})
	return fault
}

// SuspendVMTask is not offered for VMs with a guest.
func (vm *VirtualMachine) SuspendVMTask(ctx *Context, req *types.SuspendVM_Task) soap.HasFault {
	if !vm.hasGuest() {
		return vm.upstreamSuspendVMTask(ctx, req)
	}
	return &methods.SuspendVM_TaskBody{Fault_: Fault("", new(types.NotSupported))}
}

// ShutdownGuest needs VMware Tools, of which the guests have only the
// rpctool.
func (vm *VirtualMachine) ShutdownGuest(ctx *Context, req *types.ShutdownGuest) soap.HasFault {
	if !vm.hasGuest() {
		return vm.upstreamShutdownGuest(ctx, req)
	}
	return &methods.ShutdownGuestBody{Fault_: Fault("", new(types.ToolsUnavailable))}
}

// StandbyGuest needs VMware Tools, as ShutdownGuest does.
func (vm *VirtualMachine) StandbyGuest(ctx *Context, req *types.StandbyGuest) soap.HasFault {
	if !vm.hasGuest() {
		return vm.upstreamStandbyGuest(ctx, req)
	}
	return &methods.StandbyGuestBody{Fault_: Fault("", new(types.ToolsUnavailable))}
}

// guestTask starts a task that excludes other such tasks, without the VM's lock.
func (vm *VirtualMachine) guestTask(
	ctx *Context, name string, run func(work *Context) types.BaseMethodFault,
) types.ManagedObjectReference {
	work := ctx.Fresh()
	task := CreateTask(vm, name, func(task *Task) (types.AnyType, types.BaseMethodFault) {
		return nil, vm.exclusively(task, func() types.BaseMethodFault { return run(work) })
	})
	return task.runUnlocked(ctx, work)
}

// expect tells the fault of a VM that is not in the state that an operation
// needs. The VM's lock is held.
func (vm *VirtualMachine) expect(state, requested types.VirtualMachinePowerState) types.BaseMethodFault {
	if vm.Runtime.PowerState == state {
		return nil
	}
	return &types.InvalidPowerState{RequestedState: requested, ExistingState: vm.Runtime.PowerState}
}

// setPower sets everything that changes with the power state. A VM that is reset
// keeps its devices connected as they are. The VM's lock is held.
func (vm *VirtualMachine) setPower(ctx *Context, state types.VirtualMachinePowerState) {
	var boot types.AnyType
	if state == poweredOn {
		boot = time.Now()
	}
	devices := vm.cloneDevice()
	for _, device := range devices {
		if connection := device.GetVirtualDevice().Connectable; connection != nil && state != vm.Runtime.PowerState {
			connection.Connected = state == poweredOn && connection.StartConnected
		}
	}
	changes := []types.PropertyChange{
		{Name: "runtime.powerState", Val: state},
		{Name: "summary.runtime.powerState", Val: state},
		{Name: "runtime.bootTime", Val: boot},
		{Name: "summary.runtime.bootTime", Val: boot},
		{Name: "config.hardware.device", Val: devices},
	}
	if vm.Runtime.InstantCloneFrozen != nil {
		changes = append(changes,
			types.PropertyChange{Name: "runtime.instantCloneFrozen", Val: false},
			types.PropertyChange{Name: "summary.runtime.instantCloneFrozen", Val: false})
	}
	ctx.Update(vm, append(changes, vm.memoryStats(state)...))
}

// memoryStats are what vSphere's clients show of a VM's memory. The VM's lock
// is held.
func (vm *VirtualMachine) memoryStats(state types.VirtualMachinePowerState) []types.PropertyChange {
	private, shared := ledger.memoryOf(vm.Self, state == poweredOn)
	return []types.PropertyChange{
		{Name: "summary.quickStats.privateMemory", Val: int32(private)},
		{Name: "summary.quickStats.sharedMemory", Val: int32(shared)},
		{Name: "summary.quickStats.hostMemoryUsage", Val: int32(private)},
		{Name: "summary.quickStats.guestMemoryUsage", Val: int32(private)},
	}
}

// ShowMemory makes a VM's memory what its guest was seen to use, in MB. The VM's
// lock is held.
func (vm *VirtualMachine) ShowMemory(ctx *Context, private, shared, consumed int64) {
	stats := vm.Summary.QuickStats
	if stats.PrivateMemory == int32(private) && stats.SharedMemory == int32(shared) &&
		stats.HostMemoryUsage == int32(consumed) {
		return
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "summary.quickStats.privateMemory", Val: int32(private)},
		{Name: "summary.quickStats.sharedMemory", Val: int32(shared)},
		{Name: "summary.quickStats.hostMemoryUsage", Val: int32(consumed)},
	})
}

// GuestFrozen records that the guest has reached its freeze point.
func (vm *VirtualMachine) GuestFrozen(ctx *Context) {
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.instantCloneFrozen", Val: true},
		{Name: "summary.runtime.instantCloneFrozen", Val: true},
	})
}

// GuestExited records that the guest ended by itself.
func (vm *VirtualMachine) GuestExited(ctx *Context) {
	vm.setPower(ctx, poweredOff)
	ctx.postEvent(&types.VmPoweredOffEvent{VmEvent: vm.event(ctx)})
}
