// Package simulator is govmomi's; this file tells whether there is room for an
// instant clone.
package simulator

import (
	"errors"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// checkResources is admission control: the number of VMs on the host, the
// deltas under a source that runs, files, memory and CPU. What is admitted is
// counted from now on. A pool that may not borrow has its reservation to give.
func (c *instantClone) checkResources() types.BaseMethodFault {
	vm, host := c.source, c.ctx.Map.Get(c.host).(*HostSystem)
	if len(host.Vm) >= c.modes.HostVMs {
		return new(types.InsufficientResourcesFault)
	}
	if !isTrue(vm.Runtime.InstantCloneFrozen) {
		depth, fault := deepen(vm.Self, c.modes.DeltaDepth)
		if fault != nil {
			return fault
		}
		if depth > deltaAlarm {
			c.ctx.Update(vm, []types.PropertyChange{{Name: "overallStatus", Val: types.ManagedEntityStatusYellow}})
		}
	}
	if fault := c.roomForDelta(); fault != nil {
		return fault
	}
	if fault := c.checkReservation(); fault != nil {
		return fault
	}
	asked := accountOf(&vm.VirtualMachine)
	asked.pool, asked.clone, asked.frozen = c.pool, true, false
	return ledger.admit(c.task.Self, asked)
}

func (c *instantClone) roomForDelta() types.BaseMethodFault {
	if location := c.spec.Location; location.Datastore != nil {
		return roomOn(c.ctx, *location.Datastore, c.spec.Name)
	}
	return c.source.roomForSwap(c.ctx)
}

// deltas counts how often a source was cloned while it ran.
var deltas = struct {
	sync.Mutex
	under map[types.ManagedObjectReference]int
}{under: map[types.ManagedObjectReference]int{}}

// deltaAlarm is the depth at which vCenter turns a VM yellow (KB 67186).
const deltaAlarm = 100

func deepen(source types.ManagedObjectReference, limit int) (int, types.BaseMethodFault) {
	deltas.Lock()
	defer deltas.Unlock()
	if deltas.under[source] >= limit {
		fault := SystemError(errors.New("Unable to prepare migration."))
		cause := fault.GetMethodFault().FaultCause.Fault.GetMethodFault()
		cause.FaultMessage = []types.LocalizableMessage{{Key: "msg.migrate.prepare.failed"}}
		return limit, fault
	}
	deltas.under[source]++
	return deltas.under[source], nil
}

func (c *instantClone) checkReservation() types.BaseMethodFault {
	asked := reservedMemory(c.source)
	if asked == 0 {
		return nil
	}
	pool, _ := asResourcePoolMO(c.ctx.Map.Get(c.pool))
	allocation := pool.Config.MemoryAllocation
	if pool.Parent.Type != "ResourcePool" || isTrue(allocation.ExpandableReservation) || allocation.Reservation == nil {
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
