// Package simulator is govmomi's; this file has the states of hosts, which
// upstream's are in without consequences. The neighbours host_maintenance.go
// and host_loss.go bring hosts into them.
package simulator

import (
	"cmp"
	"slices"
	"sync"

	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// hostStates is what the inventory does not tell of hosts.
var hostStates = struct {
	sync.Mutex
	entering map[types.ManagedObjectReference]chan struct{} // into maintenance mode; closed to cancel it
	dead     map[types.ManagedObjectReference]bool          // VMs whose host was lost while they ran
}{
	entering: map[types.ManagedObjectReference]chan struct{}{},
	dead:     map[types.ManagedObjectReference]bool{},
}

// forgetStates is for one vCenter after another in a process.
func forgetStates() {
	hostStates.Lock()
	clear(hostStates.entering)
	clear(hostStates.dead)
	hostStates.Unlock()
	datastores.Lock()
	clear(datastores.states)
	datastores.Unlock()
	deltas.Lock()
	clear(deltas.under)
	deltas.Unlock()
}

// connectedHost is the fault of a host that cannot be reached.
func connectedHost(ctx *Context, ref types.ManagedObjectReference) types.BaseMethodFault {
	host, ok := ctx.Map.Get(ref).(*HostSystem)
	if !ok {
		return &types.ManagedObjectNotFound{Obj: ref}
	}
	var state types.HostSystemConnectionState
	ctx.WithLock(host, func() { state = host.Runtime.ConnectionState })
	if state != types.HostSystemConnectionStateConnected {
		return new(types.HostNotConnected)
	}
	return nil
}

// usableHost is the fault of a host that takes no VM. EnterMaintenanceMode_Task:
// "While this task is running and when the host is in maintenance mode, no
// virtual machines can be powered on and no provisioning operations can be
// performed on the host."
func usableHost(ctx *Context, ref types.ManagedObjectReference) types.BaseMethodFault {
	if fault := connectedHost(ctx, ref); fault != nil {
		return fault
	}
	host, in := ctx.Map.Get(ref).(*HostSystem), false
	ctx.WithLock(host, func() { in = host.Runtime.InMaintenanceMode })
	if in || isEntering(ref) {
		return new(types.InvalidState)
	}
	return nil
}

func isEntering(ref types.ManagedObjectReference) bool {
	hostStates.Lock()
	defer hostStates.Unlock()
	_, entering := hostStates.entering[ref]
	return entering
}

// otherHost is the usable host of the same cluster that has most memory left
// for a VM.
func (h *HostSystem) otherHost(ctx *Context, of account) (*HostSystem, bool) {
	cluster := hostParent(ctx, &h.HostSystem)
	if cluster == nil {
		return nil, false
	}
	var usable []*HostSystem
	for _, ref := range cluster.Host {
		host, ok := ctx.Map.Get(ref).(*HostSystem)
		if ok && ref != h.Self && usableHost(ctx, ref) == nil && ledger.fits(ref, of) {
			usable = append(usable, host)
		}
	}
	if len(usable) == 0 {
		return nil, false
	}
	return slices.MaxFunc(usable, func(a, b *HostSystem) int {
		return cmp.Or(cmp.Compare(ledger.memoryLeft(a.Self), ledger.memoryLeft(b.Self)), cmp.Compare(b.Name, a.Name))
	}), true
}

// vms copies the list of the host's VMs.
func (h *HostSystem) vms(ctx *Context) []*VirtualMachine {
	var refs []types.ManagedObjectReference
	ctx.WithLock(h, func() { refs = slices.Clone(h.Vm) })
	var vms []*VirtualMachine
	for _, ref := range refs {
		if vm, ok := ctx.Map.Get(ref).(*VirtualMachine); ok {
			vms = append(vms, vm)
		}
	}
	return vms
}

// moveTo changes a VM's host. The VM's lock is held.
func (vm *VirtualMachine) moveTo(ctx *Context, to *HostSystem) {
	if from, ok := ctx.Map.Get(*vm.Runtime.Host).(*HostSystem); ok {
		ctx.Map.RemoveReference(ctx, from, &from.Vm, vm.Self)
	}
	ctx.Map.AppendReference(ctx, to, &to.Vm, vm.Self)
	ref := to.Self
	ctx.Update(vm, []types.PropertyChange{
		{Name: "runtime.host", Val: &ref},
		{Name: "summary.runtime.host", Val: &ref},
	})
	ctx.Update(vm, vm.memoryStats(vm.Runtime.PowerState)) // what it shared stays behind
}

// connection sets whether a host can be reached, and with it its VMs.
func (h *HostSystem) connection(ctx *Context, state types.HostSystemConnectionState) {
	ctx.WithLock(h, func() {
		ctx.Update(h, []types.PropertyChange{{Name: "runtime.connectionState", Val: state}})
		ledger.knowHost(h)
	})
	ofVMs := types.VirtualMachineConnectionStateConnected
	if state != types.HostSystemConnectionStateConnected {
		ofVMs = types.VirtualMachineConnectionStateDisconnected
	}
	for _, vm := range h.vms(ctx) {
		ctx.WithLock(vm, func() {
			ctx.Update(vm, []types.PropertyChange{
				{Name: "runtime.connectionState", Val: ofVMs},
				{Name: "summary.runtime.connectionState", Val: ofVMs},
			})
		})
	}
}

// DisconnectHostTask leaves the guests running; nothing can be done to them.
func (h *HostSystem) DisconnectHostTask(ctx *Context, _ *types.DisconnectHost_Task) soap.HasFault {
	return &methods.DisconnectHost_TaskBody{Res: &types.DisconnectHost_TaskResponse{
		Returnval: h.hostTask(ctx, "disconnectHost", func(work *Context, _ *Task) types.BaseMethodFault {
			h.disconnect(work)
			return nil
		}),
	}}
}

func (h *HostSystem) disconnect(ctx *Context) {
	h.connection(ctx, types.HostSystemConnectionStateDisconnected)
	ctx.postEvent(&types.HostDisconnectedEvent{HostEvent: h.event(ctx)})
}

// ReconnectHostTask finds out what became of the VMs.
func (h *HostSystem) ReconnectHostTask(ctx *Context, _ *types.ReconnectHost_Task) soap.HasFault {
	return &methods.ReconnectHost_TaskBody{Res: &types.ReconnectHost_TaskResponse{
		Returnval: h.hostTask(ctx, "reconnectHost", func(work *Context, _ *Task) types.BaseMethodFault {
			h.reconnect(work)
			return nil
		}),
	}}
}

func (h *HostSystem) reconnect(ctx *Context) {
	h.connection(ctx, types.HostSystemConnectionStateConnected)
	ctx.postEvent(&types.HostConnectedEvent{HostEvent: h.event(ctx)})
	for _, vm := range h.vms(ctx) {
		ctx.WithLock(vm, func() {
			if died(vm.Self) {
				vm.setPower(ctx, poweredOff)
				ctx.postEvent(&types.VmPoweredOffEvent{VmEvent: vm.event(ctx)})
			}
		})
	}
}

// died tells once whether a VM's host was lost while it ran.
func died(ref types.ManagedObjectReference) bool {
	hostStates.Lock()
	defer hostStates.Unlock()
	dead := hostStates.dead[ref]
	delete(hostStates.dead, ref)
	return dead
}

// hostTask starts a task that holds no lock of its own accord.
func (h *HostSystem) hostTask(
	ctx *Context, name string, run func(work *Context, task *Task) types.BaseMethodFault,
) types.ManagedObjectReference {
	work := ctx.Fresh()
	task := CreateTask(h, name, func(task *Task) (types.AnyType, types.BaseMethodFault) {
		return nil, run(work, task)
	})
	return task.runUnlocked(ctx, work)
}
