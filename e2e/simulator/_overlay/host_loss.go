// Package simulator is govmomi's; this file loses hosts, restarts their VMs
// elsewhere as vSphere HA does, and tells of hosts to the control endpoint.
package simulator

import (
	"cmp"
	"fmt"
	"log"
	"slices"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// States of a host, as the control endpoint calls them.
const (
	HostConnected    = "connected"
	HostEntering     = "entering" // maintenance mode; not to be asked for
	HostMaintenance  = "maintenance"
	HostDisconnected = "disconnected"
	HostLost         = "lost"
)

// HostChange is what is to become of a host.
type HostChange struct {
	State     string `json:"state"`
	HARestart bool   `json:"haRestart,omitempty"` // of a lost host's VMs
	Mode      string `json:"mode,omitempty"`      // of maintenance, as Modes.Maintenance; default immediate
}

// ChangeHost brings a host into a state. It does not see the end of maintenance
// that waits for VMs.
func ChangeHost(ctx *Context, id string, change HostChange) error {
	ref := types.ManagedObjectReference{Type: "HostSystem", Value: id}
	host, ok := ctx.Map.Get(ref).(*HostSystem)
	if !ok {
		return fmt.Errorf("there is no host %s", id)
	}
	if change.HARestart && change.State != HostLost {
		return fmt.Errorf("haRestart: the state has to be %s", HostLost)
	}
	switch change.State {
	case HostConnected:
		host.leaveMaintenance(ctx)
		if connectedHost(ctx, ref) != nil {
			host.reconnect(ctx)
		}
	case HostMaintenance:
		mode := cmp.Or(change.Mode, "immediate")
		if !slices.Contains([]string{"wait", "evict", "immediate"}, mode) {
			return fmt.Errorf("mode: %q is none of wait, evict, immediate", mode)
		}
		task := ctx.Map.Get(host.startMaintenance(ctx, mode, 0)).(*Task)
		if mode == "immediate" {
			task.Wait()
			if task.Info.Error != nil {
				return fmt.Errorf("host %s: %s", id, task.Info.Error.LocalizedMessage)
			}
		}
	case HostDisconnected:
		host.disconnect(ctx)
	case HostLost:
		host.lose(ctx, change.HARestart)
	default:
		return fmt.Errorf("state: %q is none of %s, %s, %s, %s",
			change.State, HostConnected, HostMaintenance, HostDisconnected, HostLost)
	}
	return nil
}

// lose ends a host without a word: vCenter sees that it does not respond, and
// shows of its VMs what it knew last.
func (h *HostSystem) lose(ctx *Context, restart bool) {
	h.connection(ctx, types.HostSystemConnectionStateNotResponding)
	ctx.postEvent(&types.HostConnectionLostEvent{HostEvent: h.event(ctx)})
	var all sync.WaitGroup
	for _, vm := range h.vms(ctx) {
		all.Go(func() {
			work := ctx.Fresh()
			on := false
			work.WithLock(vm, func() { on = vm.Runtime.PowerState == poweredOn })
			if !on {
				return
			}
			hostStates.Lock()
			hostStates.dead[vm.Self] = true
			hostStates.Unlock()
			if err := Guests.Crash(vm.Self); err != nil {
				log.Printf("crash of %s: %v", vm.Self.Value, err)
			}
			ledger.release(vm.Self) // it uses nothing any more, whatever vCenter shows
			if restart {
				failover := vm.guestTask(work, "failover", func(work *Context) types.BaseMethodFault {
					return h.failOver(work, vm)
				})
				work.Map.Get(failover).(*Task).Wait()
			}
		})
	}
	all.Wait()
}

// failOver boots a lost host's VM on another one: what was frozen runs.
func (h *HostSystem) failOver(ctx *Context, vm *VirtualMachine) types.BaseMethodFault {
	var target *HostSystem
	ctx.WithLock(vm, func() {
		if target, _ = h.otherHost(ctx, accountOf(&vm.VirtualMachine)); target == nil {
			return
		}
		died(vm.Self)
		vm.setPower(ctx, poweredOff)
		vm.moveTo(ctx, target)
		ctx.Update(vm, []types.PropertyChange{
			{Name: "runtime.connectionState", Val: types.VirtualMachineConnectionStateConnected},
			{Name: "summary.runtime.connectionState", Val: types.VirtualMachineConnectionStateConnected},
		})
	})
	var fault types.BaseMethodFault
	if target == nil {
		fault = new(types.InsufficientFailoverResourcesFault)
	} else {
		fault = vm.powerOn(ctx)
	}
	ctx.WithLock(vm, func() {
		event := vm.event(ctx)
		if fault != nil {
			ctx.postEvent(&types.VmFailoverFailed{VmEvent: event, Reason: &types.LocalizedMethodFault{
				Fault: fault, LocalizedMessage: localized(fault),
			}})
			return
		}
		ctx.postEvent(&types.VmRestartedOnAlternateHostEvent{
			VmPoweredOnEvent: types.VmPoweredOnEvent{VmEvent: event}, SourceHost: *h.eventArgument(),
		})
	})
	return fault
}

// HostDescription is a host for the control endpoint.
type HostDescription struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	Cluster       string   `json:"cluster"`
	State         string   `json:"state"`
	MemoryMB      int64    `json:"memoryMB"`
	MemoryUsedMB  int64    `json:"memoryUsedMB"`
	CPUMHz        int64    `json:"cpuMHz"`
	CPUUsedMHz    int64    `json:"cpuUsedMHz"`
	VMs           []string `json:"vms"`
	RunningVMs    int      `json:"runningVMs"`
	connectionVal types.HostSystemConnectionState
}

// DescribeHosts lists the hosts of the inventory by name.
func DescribeHosts(ctx *Context) []HostDescription {
	described := []HostDescription{}
	for _, entity := range ctx.Map.All("HostSystem") {
		host, ok := entity.(*HostSystem)
		if !ok {
			continue
		}
		work := ctx.Fresh()
		d := HostDescription{ID: host.Self.Value, VMs: []string{}, State: HostConnected}
		work.WithLock(host, func() {
			d.Name = host.Name
			for _, vm := range host.Vm {
				d.VMs = append(d.VMs, vm.Value)
			}
			d.connectionVal = host.Runtime.ConnectionState
			if host.Runtime.InMaintenanceMode {
				d.State = HostMaintenance
			}
		})
		if isEntering(host.Self) {
			d.State = HostEntering
		}
		switch d.connectionVal {
		case types.HostSystemConnectionStateDisconnected:
			d.State = HostDisconnected
		case types.HostSystemConnectionStateNotResponding:
			d.State = HostLost
		}
		if parent := hostParent(work, &host.HostSystem); parent != nil {
			d.Cluster = parent.Name
		}
		size, taken, running := ledger.ofHost(host.Self)
		d.MemoryMB, d.CPUMHz = size.memoryMB, size.mhz
		d.MemoryUsedMB, d.CPUUsedMHz, d.RunningVMs = taken.memoryMB, taken.mhz, running
		described = append(described, d)
	}
	slices.SortFunc(described, func(a, b HostDescription) int { return cmp.Compare(a.Name, b.Name) })
	return described
}
