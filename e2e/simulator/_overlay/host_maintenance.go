// Package simulator is govmomi's; this file brings hosts into maintenance mode
// as vSphere does: not before their VMs are off or away.
package simulator

import (
	"time"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// EnterMaintenanceModeTask follows Modes.Maintenance.
func (h *HostSystem) EnterMaintenanceModeTask(ctx *Context, req *types.EnterMaintenanceMode_Task) soap.HasFault {
	timeout := time.Duration(req.Timeout) * time.Second
	return &methods.EnterMaintenanceMode_TaskBody{Res: &types.EnterMaintenanceMode_TaskResponse{
		Returnval: h.startMaintenance(ctx, CurrentModes().Maintenance, timeout),
	}}
}

func (h *HostSystem) startMaintenance(ctx *Context, mode string, timeout time.Duration) types.ManagedObjectReference {
	return h.hostTask(ctx, "enterMaintenanceMode", func(work *Context, task *Task) types.BaseMethodFault {
		return h.enterMaintenance(work, task, mode, timeout)
	})
}

func (h *HostSystem) enterMaintenance(
	ctx *Context, task *Task, mode string, timeout time.Duration,
) types.BaseMethodFault {
	if fault := usableHost(ctx, h.Self); fault != nil {
		return fault
	}
	cancelled := make(chan struct{})
	hostStates.Lock()
	hostStates.entering[h.Self] = cancelled
	hostStates.Unlock()
	defer func() {
		hostStates.Lock()
		if hostStates.entering[h.Self] == cancelled {
			delete(hostStates.entering, h.Self)
		}
		hostStates.Unlock()
	}()
	ctx.postEvent(&types.EnteringMaintenanceModeEvent{HostEvent: h.event(ctx)})
	if mode != "immediate" {
		if fault := h.empty(ctx, task, mode == "evict", timeout, cancelled); fault != nil {
			return fault
		}
	}
	h.inMaintenance(ctx, true)
	ctx.postEvent(&types.EnteredMaintenanceModeEvent{HostEvent: h.event(ctx)})
	return nil
}

// empty waits until no VM runs on the host. A timeout of 0 is none.
func (h *HostSystem) empty(
	ctx *Context, task *Task, evict bool, timeout time.Duration, cancelled chan struct{},
) types.BaseMethodFault {
	var expired <-chan time.Time
	if timeout > 0 {
		expired = time.After(timeout)
	}
	for {
		changed, running := ledger.watch(h.Self)
		if evict {
			for _, vm := range h.vms(ctx) {
				_ = vm.exclusively(task, func() types.BaseMethodFault { // who is busy is asked again
					h.evict(ctx, vm)
					return nil
				})
			}
			changed, running = ledger.watch(h.Self)
		}
		if running == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-expired:
			return new(types.Timedout)
		case <-cancelled:
			return new(types.RequestCanceled)
		}
	}
}

// evict moves a VM to another host. Whether DRS moves frozen ones is not
// documented: here they are powered off for it.
func (h *HostSystem) evict(ctx *Context, vm *VirtualMachine) {
	var frozen, on bool
	var target *HostSystem
	ctx.WithLock(vm, func() {
		frozen, on = isTrue(vm.Runtime.InstantCloneFrozen), vm.Runtime.PowerState == poweredOn
		target, _ = h.otherHost(ctx, accountOf(&vm.VirtualMachine))
	})
	if target == nil {
		return
	}
	if on && frozen {
		if err := Guests.PowerOff(vm.Self); err != nil {
			return
		}
	}
	ctx.WithLock(vm, func() {
		before := vm.event(ctx)
		if on && frozen {
			vm.setPower(ctx, poweredOff)
			ctx.postEvent(&types.VmPoweredOffEvent{VmEvent: before})
		}
		vm.moveTo(ctx, target)
		ctx.postEvent(&types.DrsVmMigratedEvent{VmMigratedEvent: types.VmMigratedEvent{
			VmEvent: vm.event(ctx), SourceHost: *h.eventArgument(),
			SourceDatacenter: before.Datacenter, SourceDatastore: before.Ds,
		}})
	})
}

// ExitMaintenanceModeTask also ends the attempt to enter it.
func (h *HostSystem) ExitMaintenanceModeTask(ctx *Context, _ *types.ExitMaintenanceMode_Task) soap.HasFault {
	return &methods.ExitMaintenanceMode_TaskBody{Res: &types.ExitMaintenanceMode_TaskResponse{
		Returnval: h.hostTask(ctx, "exitMaintenanceMode", func(work *Context, _ *Task) types.BaseMethodFault {
			h.leaveMaintenance(work)
			return nil
		}),
	}}
}

func (h *HostSystem) leaveMaintenance(ctx *Context) {
	hostStates.Lock()
	if cancelled, entering := hostStates.entering[h.Self]; entering {
		close(cancelled)
		delete(hostStates.entering, h.Self)
	}
	hostStates.Unlock()
	in := false
	ctx.WithLock(h, func() { in = h.Runtime.InMaintenanceMode })
	if in {
		h.inMaintenance(ctx, false)
		ctx.postEvent(&types.ExitMaintenanceModeEvent{HostEvent: h.event(ctx)})
	}
}

func (h *HostSystem) inMaintenance(ctx *Context, is bool) {
	ctx.WithLock(h, func() {
		ctx.Update(h, []types.PropertyChange{{Name: "runtime.inMaintenanceMode", Val: is}})
		ledger.knowHost(h)
	})
}
