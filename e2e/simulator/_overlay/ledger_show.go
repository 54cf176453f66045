// Package simulator is govmomi's; this file shows the ledger's sums in the
// inventory: what VMs take of hosts and pools, and what is left.
package simulator

import (
	"reflect"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// publish takes each object's lock alone.
func (b *books) publish(ctx *Context) {
	b.mutex.Lock()
	dirty := b.dirty
	b.dirty = references{}
	b.mutex.Unlock()
	for ref := range dirty {
		switch entity := ctx.Map.Get(ref).(type) {
		case *HostSystem:
			ctx.WithLock(entity, func() { b.showHost(ctx, entity) })
			if cluster, ok := ctx.Map.Get(*entity.Parent).(*ClusterComputeResource); ok {
				ctx.WithLock(cluster, func() { b.showCluster(ctx, cluster) })
			}
		case *ResourcePool:
			ctx.WithLock(entity, func() { b.showPool(ctx, entity) })
		}
	}
}

func (b *books) showHost(ctx *Context, host *HostSystem) {
	b.mutex.Lock()
	taken := b.taken[host.Self]
	b.mutex.Unlock()
	change(ctx, host, []types.PropertyChange{
		{Name: "summary.quickStats.overallMemoryUsage", Val: int32(taken.memoryMB)},
		{Name: "summary.quickStats.overallCpuUsage", Val: int32(taken.mhz)},
	}, host.Summary.QuickStats.OverallMemoryUsage == int32(taken.memoryMB) &&
		host.Summary.QuickStats.OverallCpuUsage == int32(taken.mhz))
}

// showCluster sums up the hosts; effective memory is in MB, total memory in
// bytes (ComputeResourceSummary).
func (b *books) showCluster(ctx *Context, cluster *ClusterComputeResource) {
	summary := *cluster.Summary.(*types.ClusterComputeResourceSummary)
	summary.TotalCpu, summary.TotalMemory, summary.NumCpuThreads, summary.NumHosts = 0, 0, 0, 0
	summary.EffectiveCpu, summary.EffectiveMemory, summary.NumEffectiveHosts = 0, 0, 0
	b.mutex.Lock()
	for _, host := range b.hosts {
		if host.owner != cluster.Self {
			continue
		}
		summary.NumHosts++
		summary.TotalCpu += int32(host.mhz)
		summary.TotalMemory += host.memoryMB << 20
		summary.NumCpuThreads += int16(host.threads)
		if host.effective {
			summary.NumEffectiveHosts++
			summary.EffectiveCpu += int32(host.mhz)
			summary.EffectiveMemory += host.memoryMB
		}
	}
	b.mutex.Unlock()
	change(ctx, cluster, []types.PropertyChange{{Name: "summary", Val: &summary}},
		reflect.DeepEqual(cluster.Summary, &summary))
}

// bound is the upper limit of a pool's use: its own, its parents', its hosts'.
// The mutex is held.
func (b *books) bound(ref types.ManagedObjectReference) (bound, total usage) {
	for _, host := range b.hosts {
		if host.effective && host.owner == b.pools[ref].owner {
			total = total.plus(host.usage)
		}
	}
	bound = total
	for pool := ref; pool.Type != ""; pool = b.pools[pool].parent {
		if limit := b.pools[pool].memoryMB; limit >= 0 {
			bound.memoryMB = min(bound.memoryMB, limit)
		}
		if limit := b.pools[pool].mhz; limit >= 0 {
			bound.mhz = min(bound.mhz, limit)
		}
	}
	return bound, total
}

func (b *books) showPool(ctx *Context, pool *ResourcePool) {
	b.mutex.Lock()
	taken, root := b.taken[pool.Self], b.pools[pool.Self].root
	bound, total := b.bound(pool.Self)
	b.mutex.Unlock()
	runtime := types.ResourcePoolRuntimeInfo{
		Memory:        resourceUsage(taken.memoryMB<<20, bound.memoryMB<<20),
		Cpu:           resourceUsage(taken.mhz, bound.mhz),
		OverallStatus: types.ManagedEntityStatusGreen,
	}
	changes := []types.PropertyChange{{Name: "runtime", Val: runtime}}
	config := pool.Config
	if root { // "the total capacity of the host or cluster"
		config.MemoryAllocation.Limit, config.MemoryAllocation.Reservation = &total.memoryMB, &total.memoryMB
		config.CpuAllocation.Limit, config.CpuAllocation.Reservation = &total.mhz, &total.mhz
		changes = append(changes, types.PropertyChange{Name: "config", Val: config})
	}
	same := reflect.DeepEqual(pool.Runtime, runtime) && reflect.DeepEqual(pool.Config, config)
	if same {
		return
	}
	// Upstream's pools have one summary together.
	summary := *pool.Summary.GetResourcePoolSummary()
	summary.Name, summary.Config, summary.Runtime = pool.Name, config, runtime
	ctx.Update(pool, append(changes, types.PropertyChange{Name: "summary", Val: &summary}))
}

func resourceUsage(taken, bound int64) types.ResourcePoolResourceUsage {
	left := max(0, bound-taken)
	return types.ResourcePoolResourceUsage{
		ReservationUsed: taken, ReservationUsedForVm: taken, UnreservedForPool: left, UnreservedForVm: left,
		OverallUsage: taken, MaxUsage: bound,
	}
}

func change(ctx *Context, object mo.Reference, changes []types.PropertyChange, same bool) {
	if !same {
		ctx.Update(object, changes)
	}
}
