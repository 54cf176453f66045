// Package simulator is govmomi's; this file keeps the ledger by what happens in
// the inventory. A goroutine shows its sums there, see ledger_show.go: whoever
// changes a VM holds its lock.
package simulator

import (
	"context"
	"time"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// publishesAfter is how long changes are gathered; vSphere's quick statistics
// lag behind by 20 s.
const publishesAfter = 10 * time.Millisecond

// KeepLedger starts it, with the hosts and pools that are there. It ends with
// the context.
func KeepLedger(until context.Context, ctx *Context) {
	ledger.clear()
	forgetStates()
	ctx.Map.AddHandler(ledger)
	for _, entity := range ctx.Map.All("") {
		ledger.PutObject(ctx, entity)
	}
	go func() {
		for {
			select {
			case <-until.Done():
				return
			case <-ledger.wake:
			}
			select {
			case <-until.Done():
				return
			case <-time.After(publishesAfter):
			}
			ledger.publish(ctx.Fresh())
		}
	}()
}

// Reference implements RegisterObject, as the methods below. They are called
// with the object's lock held.
func (b *books) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "Handler", Value: "ledger"}
}

// PutObject gets to know hosts and pools.
func (b *books) PutObject(_ *Context, object mo.Reference) {
	switch entity := object.(type) {
	case *HostSystem:
		b.knowHost(entity)
	case *ResourcePool:
		b.knowPool(entity)
	}
}

// UpdateObject follows VMs.
func (b *books) UpdateObject(_ *Context, object mo.Reference, _ []types.PropertyChange) {
	vm, ok := object.(*mo.VirtualMachine)
	if !ok || vm.Runtime.Host == nil {
		return
	}
	now := accountOf(vm)
	b.mutex.Lock()
	defer b.mutex.Unlock()
	before, known := b.accounts[vm.Self]
	switch {
	case vm.Runtime.PowerState == poweredOff:
		b.strike(vm.Self)
	case !known:
		b.enter(vm.Self, now)
	default:
		// What moves to another host leaves the memory behind that it shared.
		now.clone = before.clone && before.host == now.host
		if now != before {
			b.enter(vm.Self, now)
		}
	}
}

// RemoveObject forgets a VM.
func (b *books) RemoveObject(_ *Context, ref types.ManagedObjectReference) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.strike(ref)
	delete(b.pools, ref)
	delete(b.hosts, ref)
	delete(b.taken, ref)
}

// knowHost reads a host, whose lock is held or which nobody else has yet.
func (b *books) knowHost(host *HostSystem) {
	if host.Parent == nil || host.Summary.Hardware == nil {
		return
	}
	hardware := host.Summary.Hardware
	size := hostSize{
		usage:      usage{hardware.MemorySize >> 20, int64(hardware.CpuMhz) * int64(hardware.NumCpuCores)},
		mhzPerCore: int64(hardware.CpuMhz), threads: int32(hardware.NumCpuThreads), owner: *host.Parent,
		effective: host.Runtime.ConnectionState == types.HostSystemConnectionStateConnected &&
			!host.Runtime.InMaintenanceMode,
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.hosts[host.Self] = size
	b.mark(host.Self)
	for ref, pool := range b.pools {
		if pool.owner == size.owner {
			b.mark(ref)
		}
	}
}

func (b *books) knowPool(pool *ResourcePool) {
	known := poolLimit{usage: usage{-1, -1}, owner: pool.Owner}
	if pool.Parent != nil && pool.Parent.Type == "ResourcePool" {
		known.parent = *pool.Parent
		if limit := pool.Config.MemoryAllocation.Limit; limit != nil {
			known.memoryMB = *limit
		}
		if limit := pool.Config.CpuAllocation.Limit; limit != nil {
			known.mhz = *limit
		}
	} else {
		known.root = true
		if pool.Parent != nil {
			known.owner = *pool.Parent // Owner is set later
		}
	}
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.pools[pool.Self] = known
	for ref := range b.pools {
		b.mark(ref) // a limit is its children's too
	}
}
