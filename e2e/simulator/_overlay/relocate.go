// Package simulator is govmomi's; this file moves VMs between hosts and pools,
// which upstream leaves in the lists of both, and makes none where there is no
// room.
package simulator

import (
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// RelocateVMTask moves to host and pool, and leaves the rest to upstream. A
// guest goes on where it is: it stays frozen if it was.
func (vm *VirtualMachine) RelocateVMTask(ctx *Context, req *types.RelocateVM_Task) soap.HasFault {
	task := CreateTask(vm, "relocateVm", func(*Task) (types.AnyType, types.BaseMethodFault) {
		return nil, vm.relocate(ctx, req)
	})
	return &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{Returnval: task.Run(ctx)}}
}

// relocate is called with the VM's lock held on behalf of ctx.
func (vm *VirtualMachine) relocate(ctx *Context, req *types.RelocateVM_Task) types.BaseMethodFault {
	if fault := connectedHost(ctx, *vm.Runtime.Host); fault != nil {
		return fault
	}
	spec := req.Spec
	if spec.Pool != nil {
		if _, ok := asResourcePoolMO(ctx.Map.Get(*spec.Pool)); !ok {
			return &types.InvalidArgument{InvalidProperty: "spec.pool"}
		}
	}
	event := vm.event(ctx)
	if spec.Host != nil {
		to, ok := ctx.Map.Get(*spec.Host).(*HostSystem)
		if !ok {
			return &types.InvalidArgument{InvalidProperty: "spec.host"}
		}
		if fault := usableHost(ctx, to.Self); fault != nil {
			return fault
		}
		if vm.Runtime.PowerState == poweredOn && !ledger.fits(to.Self, accountOf(&vm.VirtualMachine)) {
			return new(types.InsufficientMemoryResourcesFault)
		}
		vm.moveTo(ctx, to)
	}
	if spec.Pool != nil {
		vm.moveInto(ctx, *spec.Pool)
	}
	rest := *req
	rest.Spec.Host, rest.Spec.Pool = nil, nil
	if rest.Spec.Datastore != nil || rest.Spec.Folder != nil || len(rest.Spec.DeviceChange) > 0 {
		body := vm.upstreamRelocateVMTask(ctx, &rest).(*methods.RelocateVM_TaskBody)
		moved := ctx.Map.Get(body.Res.Returnval).(*Task)
		moved.Wait()
		if moved.Info.Error != nil {
			return moved.Info.Error.Fault
		}
		return nil // it told the event, too
	}
	ctx.postEvent(&types.VmMigratedEvent{
		VmEvent: vm.event(ctx), SourceHost: *event.Host, SourceDatacenter: event.Datacenter, SourceDatastore: event.Ds,
	})
	return nil
}

// moveInto changes a VM's pool, which is one. The VM's lock is held.
func (vm *VirtualMachine) moveInto(ctx *Context, pool types.ManagedObjectReference) {
	if vm.ResourcePool != nil {
		if from, ok := asResourcePoolMO(ctx.Map.Get(*vm.ResourcePool)); ok {
			ctx.Map.RemoveReference(ctx, from, &from.Vm, vm.Self)
		}
	}
	if to, ok := asResourcePoolMO(ctx.Map.Get(pool)); ok {
		ctx.Map.AddReference(ctx, to, &to.Vm, vm.Self)
	}
	ctx.Update(vm, []types.PropertyChange{{Name: "resourcePool", Val: &pool}})
}

// CreateVMTask is upstream's where there is room.
func (f *Folder) CreateVMTask(ctx *Context, req *types.CreateVM_Task) soap.HasFault {
	fault := f.roomFor(ctx, req)
	if fault == nil {
		return f.upstreamCreateVMTask(ctx, req)
	}
	task := CreateTask(f, "createVm", func(*Task) (types.AnyType, types.BaseMethodFault) { return nil, fault })
	return &methods.CreateVM_TaskBody{Res: &types.CreateVM_TaskResponse{Returnval: task.Run(ctx)}}
}

func (f *Folder) roomFor(ctx *Context, req *types.CreateVM_Task) types.BaseMethodFault {
	if req.Host != nil {
		if fault := usableHost(ctx, *req.Host); fault != nil {
			return fault
		}
	}
	var path object.DatastorePath
	if req.Config.Files == nil || !path.FromString(req.Config.Files.VmPathName) {
		return nil // upstream says what is wrong
	}
	datacenter := ctx.Map.getEntityDatacenter(f)
	if datacenter == nil {
		return nil
	}
	if datastore := ctx.Map.FindByName(path.Datastore, datacenter.Datastore); datastore != nil {
		return roomOn(ctx, datastore.Reference(), req.Config.Name)
	}
	return nil
}
