// Package simulator is govmomi's; this file replaces VirtualMachine.CloneVM_Task:
// a copy of a VM or template on any host, with its extraConfig, a network
// address of its own, and a guest that boots.
package simulator

import (
	"math/rand/v2"
	"slices"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type fullClone struct {
	source *VirtualMachine
	req    *types.CloneVM_Task
	task   *Task
	ctx    *Context // the task's own

	folder *Folder
	pool   types.ManagedObjectReference
	host   types.ManagedObjectReference
	config types.VirtualMachineConfigSpec
	event  types.VmEvent // of the source
}

// CloneVMTask implements VirtualMachine.CloneVM_Task.
func (vm *VirtualMachine) CloneVMTask(ctx *Context, req *types.CloneVM_Task) soap.HasFault {
	if Guests == nil {
		return vm.upstreamCloneVMTask(ctx, req)
	}
	clone := &fullClone{source: vm, req: req, ctx: ctx.Fresh()}
	clone.task = vm.cloneTask("cloneVm", clone.run)
	return &methods.CloneVM_TaskBody{
		Res: &types.CloneVM_TaskResponse{Returnval: clone.task.runUnlocked(ctx, clone.ctx)},
	}
}

// cloneTask is a task that makes a VM of this one, side by side with others
// that do; it has still to be started.
func (vm *VirtualMachine) cloneTask(name string, run func() (types.AnyType, types.BaseMethodFault)) *Task {
	return CreateTask(vm, name, func(task *Task) (made types.AnyType, fault types.BaseMethodFault) {
		fault = vm.shared(task, func() (fault types.BaseMethodFault) {
			made, fault = run()
			return fault
		})
		return made, fault
	})
}

func (c *fullClone) run() (types.AnyType, types.BaseMethodFault) {
	var fault types.BaseMethodFault
	c.ctx.WithLock(c.source, func() {
		if fault = c.place(); fault == nil {
			c.event = c.source.event(c.ctx)
			c.config = c.configSpec()
		}
	})
	if fault != nil {
		return nil, fault
	}
	vm, fault := c.create()
	if fault != nil {
		return nil, fault
	}
	c.task.progress(50)
	if !c.req.Spec.Template && c.req.Spec.PowerOn {
		fault = vm.exclusively(c.task, func() types.BaseMethodFault { return vm.powerOn(c.ctx) })
		if fault != nil {
			return nil, fault // the VM stays, as on vSphere
		}
	}
	return vm.Self, nil
}

// place finds where the clone goes. The source's lock is held.
func (c *fullClone) place() types.BaseMethodFault {
	vm, location := c.source, c.req.Spec.Location
	if c.req.Name == "" || len(c.req.Name) >= entityNameLimit {
		return &types.InvalidName{Name: c.req.Name}
	}
	var ok bool
	if c.folder, ok = c.ctx.Map.Get(c.req.Folder).(*Folder); !ok || !folderHasChildType(&c.folder.Folder, "VirtualMachine") {
		return &types.InvalidArgument{InvalidProperty: "folder"}
	}
	switch {
	case location.Pool != nil:
		c.pool = *location.Pool
	case vm.ResourcePool != nil:
		c.pool = *vm.ResourcePool
	default: // "For clone operation from a template, this argument is required"
		return &types.InvalidArgument{InvalidProperty: "spec.location.pool"}
	}
	pool, ok := c.ctx.Map.Get(c.pool).(mo.Entity)
	if _, isPool := asResourcePoolMO(c.ctx.Map.Get(c.pool)); !ok || !isPool {
		return &types.InvalidArgument{InvalidProperty: "spec.location.pool"}
	}
	hosts := hostsOf(c.ctx.Map.getEntityComputeResource(pool))
	switch {
	case location.Host != nil:
		c.host = *location.Host
		if !slices.Contains(hosts, c.host) {
			return &types.InvalidArgument{InvalidProperty: "spec.location.host"}
		}
	case slices.Contains(hosts, *vm.Runtime.Host) && usableHost(c.ctx, *vm.Runtime.Host) == nil:
		c.host = *vm.Runtime.Host
	default: // "if the host is not specified ... a suitable one is chosen" (DRS)
		hosts = slices.DeleteFunc(slices.Clone(hosts), func(ref types.ManagedObjectReference) bool {
			return usableHost(c.ctx, ref) != nil
		})
		if len(hosts) == 0 {
			return new(types.NoCompatibleHost)
		}
		c.host = hosts[rand.IntN(len(hosts))]
	}
	if fault := usableHost(c.ctx, c.host); fault != nil {
		return fault
	}
	if ref := location.Datastore; ref != nil {
		host := c.ctx.Map.Get(c.host).(*HostSystem)
		if _, ok := c.ctx.Map.Get(*ref).(*Datastore); !ok || FindReference(host.Datastore, *ref) == nil {
			return &types.InvalidDatastore{Datastore: ref}
		}
		return roomOn(c.ctx, *ref, c.req.Name)
	}
	return vm.roomForSwap(c.ctx)
}

func hostsOf(compute mo.Entity) []types.ManagedObjectReference {
	switch compute := compute.(type) {
	case *ClusterComputeResource:
		return compute.Host
	case *mo.ComputeResource:
		return compute.Host
	}
	return nil
}

// configSpec is the source's hardware with spec.config laid over it. The
// source's lock is held.
func (c *fullClone) configSpec() types.VirtualMachineConfigSpec {
	vm := c.source
	path := vm.vmx(nil)
	path.Path = c.req.Name
	if ref := c.req.Spec.Location.Datastore; ref != nil {
		path.Datastore = c.ctx.Map.Get(*ref).(*Datastore).Name
	}
	config := types.VirtualMachineConfigSpec{
		Name:                c.req.Name,
		Version:             vm.Config.Version,
		GuestId:             vm.Config.GuestId,
		Firmware:            vm.Config.Firmware,
		Annotation:          vm.Config.Annotation,
		Uuid:                uuid.NewString(),
		InstanceUuid:        uuid.NewString(),
		Files:               &types.VirtualMachineFileInfo{VmPathName: path.String()},
		NumCPUs:             vm.Config.Hardware.NumCPU,
		NumCoresPerSocket:   vm.Config.Hardware.NumCoresPerSocket,
		MemoryMB:            int64(vm.Config.Hardware.MemoryMB),
		CpuHotAddEnabled:    vm.Config.CpuHotAddEnabled,
		MemoryHotAddEnabled: vm.Config.MemoryHotAddEnabled,
		ExtraConfig:         vm.Config.ExtraConfig,
		DeviceChange:        vm.copiedDevices(nil, diskOfItsOwn),
	}
	over := c.req.Spec.Config
	if over == nil {
		config.ExtraConfig = overlaid(vm.Config.ExtraConfig, nil)
		return config
	}
	config.ExtraConfig = overlaid(vm.Config.ExtraConfig, over.ExtraConfig)
	copyNonEmptyValue(&config.Uuid, &over.Uuid)
	copyNonEmptyValue(&config.InstanceUuid, &over.InstanceUuid)
	copyNonEmptyValue(&config.Annotation, &over.Annotation)
	copyNonEmptyValue(&config.NumCPUs, &over.NumCPUs)
	copyNonEmptyValue(&config.NumCoresPerSocket, &over.NumCoresPerSocket)
	copyNonEmptyValue(&config.MemoryMB, &over.MemoryMB)
	copyNonEmptyValue(&config.CpuHotAddEnabled, &over.CpuHotAddEnabled)
	copyNonEmptyValue(&config.MemoryHotAddEnabled, &over.MemoryHotAddEnabled)
	config.MemoryAllocation, config.CpuAllocation = over.MemoryAllocation, over.CpuAllocation
	return config
}

// diskOfItsOwn leaves naming file and disk to who makes them.
func diskOfItsOwn(disk *types.VirtualDisk) {
	if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
		backing.FileName, backing.Uuid, backing.Parent = "", "", nil
	}
}

// create makes the clone in the inventory, powered off.
func (c *fullClone) create() (made *VirtualMachine, fault types.BaseMethodFault) {
	c.ctx.WithLock(c.folder, func() {
		if other := c.ctx.Map.FindByName(c.req.Name, c.folder.ChildEntity); other != nil {
			fault = &types.DuplicateName{Name: c.req.Name, Object: other.Reference()}
			return
		}
		c.ctx.postEvent(&types.VmBeingClonedEvent{
			VmCloneEvent: types.VmCloneEvent{VmEvent: c.event},
			DestFolder:   folderEventArgument(&c.folder.Folder),
			DestName:     c.req.Name,
			DestHost:     *c.ctx.Map.Get(c.host).(*HostSystem).eventArgument(),
		})
		var result types.AnyType
		request := &types.CreateVM_Task{This: c.folder.Self, Config: c.config, Pool: c.pool, Host: &c.host}
		result, fault = (&createVM{Folder: c.folder, ctx: c.ctx, req: request}).Run(c.task)
		if fault != nil {
			return
		}
		made = c.ctx.Map.Get(result.(types.ManagedObjectReference)).(*VirtualMachine)
		c.ctx.WithLock(made, func() { fault = c.complete(made) })
	})
	return made, fault
}

// complete does what createVM does not. The clone's lock is held.
func (c *fullClone) complete(made *VirtualMachine) types.BaseMethodFault {
	spec := c.req.Spec
	changes := [][]types.BaseVirtualDeviceConfigSpec{spec.Location.DeviceChange}
	if spec.Config != nil {
		changes = append(changes, spec.Config.DeviceChange)
	}
	for _, change := range changes {
		fault := made.configureDevices(c.ctx, &types.VirtualMachineConfigSpec{DeviceChange: change})
		if fault != nil {
			return fault
		}
	}
	allocation := &types.VirtualMachineConfigSpec{
		MemoryAllocation: c.config.MemoryAllocation, CpuAllocation: c.config.CpuAllocation,
	}
	if fault := made.configure(c.ctx, allocation); fault != nil { // also gives it a changeVersion
		return fault
	}
	c.ctx.postEvent(&types.VmClonedEvent{
		VmCloneEvent: types.VmCloneEvent{VmEvent: made.event(c.ctx)}, SourceVm: *c.event.Vm,
	})
	if spec.Template {
		made.becomeTemplate(c.ctx)
		return nil
	}
	return made.setPendingCustomization(c.ctx, spec.Customization)
}
