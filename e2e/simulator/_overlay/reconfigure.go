// Package simulator is govmomi's; this file adds to ReconfigVM_Task what it has
// to refuse, and lets templates and pools tell of their changes.
package simulator

import (
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ReconfigVMTask is upstream's for what vSphere would do.
func (vm *VirtualMachine) ReconfigVMTask(ctx *Context, req *types.ReconfigVM_Task) soap.HasFault {
	if vm.refusal(ctx, &req.Spec) == nil {
		return vm.upstreamReconfigVMTask(ctx, req)
	}
	task := CreateTask(vm, "reconfigVm", func(*Task) (types.AnyType, types.BaseMethodFault) {
		return nil, vm.refusal(ctx, &req.Spec)
	})
	return &methods.ReconfigVM_TaskBody{Res: &types.ReconfigVM_TaskResponse{Returnval: task.Run(ctx)}}
}

// refusal is the fault of a change. The VM's lock is held: what is asked for
// is done on behalf of the same context.
func (vm *VirtualMachine) refusal(ctx *Context, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	if fault := connectedHost(ctx, *vm.Runtime.Host); fault != nil {
		return fault
	}
	// "If this property is set and does not match the current changeVersion, the
	// request is rejected with ConcurrentAccess" (VirtualMachineConfigSpec).
	if spec.ChangeVersion != "" && spec.ChangeVersion != vm.Config.ChangeVersion {
		return new(types.ConcurrentAccess)
	}
	if vm.Runtime.PowerState != poweredOn {
		return nil
	}
	hardware := vm.Config.Hardware
	switch {
	case spec.NumCPUs > hardware.NumCPU && !isTrue(vm.Config.CpuHotAddEnabled),
		spec.NumCPUs != 0 && spec.NumCPUs < hardware.NumCPU && !isTrue(vm.Config.CpuHotRemoveEnabled):
		return new(types.CpuHotPlugNotSupported)
	case spec.MemoryMB != 0 && spec.MemoryMB < int64(hardware.MemoryMB),
		spec.MemoryMB > int64(hardware.MemoryMB) && !isTrue(vm.Config.MemoryHotAddEnabled):
		return new(types.MemoryHotPlugNotSupported)
	}
	return nil
}

// MarkAsTemplate lets collectors know. A template is in no pool.
func (vm *VirtualMachine) MarkAsTemplate(ctx *Context, req *types.MarkAsTemplate) soap.HasFault {
	pool := vm.ResourcePool
	body := vm.upstreamMarkAsTemplate(req)
	if body.Fault() == nil {
		vm.ResourcePool = pool
		vm.becomeTemplate(ctx)
	}
	return body
}

// becomeTemplate: the VM's lock is held.
func (vm *VirtualMachine) becomeTemplate(ctx *Context) {
	if vm.ResourcePool != nil {
		if pool, ok := asResourcePoolMO(ctx.Map.Get(*vm.ResourcePool)); ok {
			ctx.Map.RemoveReference(ctx, pool, &pool.Vm, vm.Self)
		}
	}
	vm.ResourcePool = nil
	ctx.Update(vm, []types.PropertyChange{
		{Name: "config.template", Val: true},
		{Name: "summary.config.template", Val: true},
	})
}

// MarkAsVirtualMachine brings a template into a pool.
func (vm *VirtualMachine) MarkAsVirtualMachine(ctx *Context, req *types.MarkAsVirtualMachine) soap.HasFault {
	host := vm.Runtime.Host
	body := vm.upstreamMarkAsVirtualMachine(req)
	if body.Fault() != nil {
		return body
	}
	vm.Runtime.Host, vm.ResourcePool = host, nil
	vm.moveInto(ctx, req.Pool)
	if req.Host != nil {
		if to, ok := ctx.Map.Get(*req.Host).(*HostSystem); ok {
			vm.moveTo(ctx, to)
		}
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "config.template", Val: false},
		{Name: "summary.config.template", Val: false},
	})
	return body
}

// UpdateConfig lets collectors and the ledger know of a pool's limits.
func (p *ResourcePool) UpdateConfig(ctx *Context, req *types.UpdateConfig) soap.HasFault {
	body := p.upstreamUpdateConfig(ctx, req)
	if body.Fault() == nil {
		ctx.Update(p, []types.PropertyChange{{Name: "config", Val: p.Config}, {Name: "name", Val: p.Name}})
		ledger.knowPool(p)
	}
	return body
}
