// Package simulator is govmomi's; this file adds VirtualMachine.InstantClone_Task
// to it, which it lacks. The neighbour instant_clone_check.go has its
// preconditions, copied.go what is like the source.
//
// Effects follow the vSphere Web Services API reference (InstantCloneSpec);
// where the reference leaves something open, the comment says so.
package simulator

import (
	"log"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type instantClone struct {
	source *VirtualMachine
	spec   types.VirtualMachineInstantCloneSpec
	task   *Task
	ctx    *Context // the task's own: holds no lock when it starts

	modes     Modes // as they were when it was asked for
	folder    *Folder
	pool      types.ManagedObjectReference
	host      types.ManagedObjectReference
	datastore string // empty: the source's
	config    types.VirtualMachineConfigSpec
	connected map[int32]bool // cards, by key
	event     types.VmEvent  // of the source
}

// InstantCloneTask implements VirtualMachine.InstantClone_Task.
func (vm *VirtualMachine) InstantCloneTask(ctx *Context, req *types.InstantClone_Task) soap.HasFault {
	clone := &instantClone{source: vm, spec: req.Spec, ctx: ctx.Fresh(), modes: CurrentModes()}
	clone.task = vm.cloneTask("instantClone", clone.run)
	return &methods.InstantClone_TaskBody{
		Res: &types.InstantClone_TaskResponse{Returnval: clone.task.runUnlocked(ctx, clone.ctx)},
	}
}

// run holds the source's lock while it is read, the folder's while the clone is
// made, and none while the guest is cloned: clones of one source start side by
// side.
func (c *instantClone) run() (types.AnyType, types.BaseMethodFault) {
	if fault := c.prepare(); fault != nil {
		return nil, fault
	}
	defer ledger.release(c.task.Self) // if it has not become a VM
	time.Sleep(milliseconds(c.modes.ParallelMs))
	vm, fault := c.create()
	if fault != nil {
		return nil, fault
	}
	c.task.progress(50)
	fault = vm.exclusively(c.task, func() types.BaseMethodFault {
		fault := c.thaw(vm)
		if fault == nil {
			fault = connectedHost(c.ctx, c.host) // it may have been lost meanwhile
		}
		if fault != nil {
			c.undo(vm)
		}
		return fault
	})
	if fault != nil {
		return nil, fault
	}
	c.ctx.WithLock(vm, func() {
		event := vm.event(c.ctx)
		c.ctx.postEvent(
			&types.VmClonedEvent{VmCloneEvent: types.VmCloneEvent{VmEvent: event}, SourceVm: *c.event.Vm},
			&types.VmPoweredOnEvent{VmEvent: event},
		)
	})
	return vm.Self, nil
}

// prepare has the source for itself.
func (c *instantClone) prepare() (fault types.BaseMethodFault) {
	exclusive := exclusiveTimes.of(c.source.Self)
	exclusive.Lock()
	defer exclusive.Unlock()
	time.Sleep(milliseconds(c.modes.ExclusiveMs))
	c.ctx.WithLock(c.source, func() {
		if fault = c.check(); fault == nil {
			c.event = c.source.event(c.ctx)
			c.config = c.configSpec()
			c.connected = connectedIn(c.config.DeviceChange)
		}
	})
	return fault
}

// exclusiveTimes has a mutex for each source: clones of it wait for each other,
// and other calls do not.
var exclusiveTimes mutexes

type mutexes struct{ all sync.Map }

func (m *mutexes) of(ref types.ManagedObjectReference) *sync.Mutex {
	mutex, _ := m.all.LoadOrStore(ref, new(sync.Mutex))
	return mutex.(*sync.Mutex)
}

// configSpec copies the source's hardware and lays spec.config over its
// extraConfig. The source's lock is held.
func (c *instantClone) configSpec() types.VirtualMachineConfigSpec {
	vm := c.source
	path := vm.vmx(nil)
	path.Path = c.spec.Name
	if c.datastore != "" {
		path.Datastore = c.datastore
	}
	config := types.VirtualMachineConfigSpec{
		Name:                c.spec.Name,
		Version:             vm.Config.Version,
		GuestId:             vm.Config.GuestId,
		Firmware:            vm.Config.Firmware,
		Annotation:          vm.Config.Annotation,
		Uuid:                c.spec.BiosUuid,
		InstanceUuid:        uuid.NewString(),
		Files:               &types.VirtualMachineFileInfo{VmPathName: path.String()},
		NumCPUs:             vm.Config.Hardware.NumCPU,
		NumCoresPerSocket:   vm.Config.Hardware.NumCoresPerSocket,
		MemoryMB:            int64(vm.Config.Hardware.MemoryMB),
		CpuHotAddEnabled:    vm.Config.CpuHotAddEnabled,
		MemoryHotAddEnabled: vm.Config.MemoryHotAddEnabled,
		ExtraConfig:         overlaid(vm.Config.ExtraConfig, c.spec.Config),
	}
	if config.Uuid == "" {
		config.Uuid = uuid.NewString()
	}
	edits := map[int32]types.BaseVirtualDevice{}
	for _, change := range c.spec.Location.DeviceChange {
		device := change.GetVirtualDeviceConfigSpec().Device
		edits[device.GetVirtualDevice().Key] = device
	}
	config.DeviceChange = vm.copiedDevices(edits, deltaOf)
	return config
}

// makers holds the VM locks of instant clones under construction, by context.
var makers sync.Map

// publishVM puts a new VM into its folder. An instant clone appears complete:
// its lock is held until it is, so that no collector reads it before.
func publishVM(ctx *Context, folder *mo.Folder, vm *VirtualMachine) {
	if unlock, ok := makers.Load(ctx); ok {
		*unlock.(*func()) = ctx.Map.AcquireLock(ctx, vm)
	}
	folderPutChild(ctx, folder, vm)
}

// create makes the clone in the inventory: on the source's host, powered on.
func (c *instantClone) create() (made *VirtualMachine, fault types.BaseMethodFault) {
	unlock := func() {}
	makers.Store(c.ctx, &unlock)
	defer func() {
		makers.Delete(c.ctx)
		unlock()
	}()
	c.ctx.WithLock(c.folder, func() {
		if other := c.ctx.Map.FindByName(c.spec.Name, c.folder.ChildEntity); other != nil {
			fault = &types.DuplicateName{Name: c.spec.Name, Object: other.Reference()}
			return
		}
		c.ctx.postEvent(&types.VmBeingClonedEvent{
			VmCloneEvent: types.VmCloneEvent{VmEvent: c.event},
			DestFolder:   folderEventArgument(&c.folder.Folder),
			DestName:     c.spec.Name,
			DestHost:     *c.event.Host,
		})
		var result types.AnyType
		request := &types.CreateVM_Task{This: c.folder.Self, Config: c.config, Pool: c.pool, Host: &c.host}
		result, fault = (&createVM{Folder: c.folder, ctx: c.ctx, req: request}).Run(c.task)
		if fault != nil {
			return
		}
		made = c.ctx.Map.Get(result.(types.ManagedObjectReference)).(*VirtualMachine)
		ledger.rename(c.task.Self, made.Self)
		made.setPower(c.ctx, poweredOn)
		made.connectCards(c.ctx, c.connected)
		made.updateLastModifiedAndChangeVersion(c.ctx)
	})
	return made, fault
}

// thaw clones the guest.
func (c *instantClone) thaw(vm *VirtualMachine) types.BaseMethodFault {
	var described GuestVM
	var has bool
	c.ctx.WithLock(vm, func() { described, has = vm.guest(c.ctx), vm.hasGuest() })
	if !has {
		return nil
	}
	return Guests.InstantClone(c.source.Self, described)
}

// undo "backs out": no VM and no file is left of a clone that failed.
func (c *instantClone) undo(vm *VirtualMachine) {
	c.ctx.WithLock(vm, func() { vm.setPower(c.ctx, poweredOff) })
	if fault := vm.destroy(c.ctx); fault != nil {
		log.Printf("instant clone %s cannot be undone: %s", vm.Name, localized(fault))
	}
}
