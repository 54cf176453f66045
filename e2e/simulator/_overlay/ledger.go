// Package simulator is govmomi's; this file knows what running VMs take of
// their hosts and resource pools, and refuses what does not fit. The neighbour
// ledger_keep.go follows the inventory for it.
//
// vSphere admits by reservations and lets memory be overcommitted; here a VM
// counts with what it is believed to use, so that limits can be met in a test
// without filling them. An instant clone counts little: it shares its source's
// memory "when possible" (InstantClone_Task).
package simulator

import (
	"sync"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// account is what is known of a running VM.
type account struct {
	host, pool               types.ManagedObjectReference
	cpus                     int32
	memoryMB                 int64
	reservedMB, reservedMHz  int64
	clone, frozen, suspended bool
}

// usage is what VMs take together.
type usage struct{ memoryMB, mhz int64 }

func (u usage) plus(other usage) usage  { return usage{u.memoryMB + other.memoryMB, u.mhz + other.mhz} }
func (u usage) minus(other usage) usage { return usage{u.memoryMB - other.memoryMB, u.mhz - other.mhz} }

// hostSize is what a host has.
type hostSize struct {
	usage
	mhzPerCore int64
	threads    int32
	effective  bool // connected, and not in maintenance mode
	owner      types.ManagedObjectReference
}

// poolLimit is a pool's configuration; -1 is no limit. A root pool has none: its
// hosts are.
type poolLimit struct {
	usage
	parent, owner types.ManagedObjectReference
	root          bool
}

// books is the ledger of one vCenter. Its mutex is a leaf: whoever holds it
// takes no other lock.
type books struct {
	mutex    sync.Mutex
	accounts map[types.ManagedObjectReference]account
	taken    map[types.ManagedObjectReference]usage // of hosts and pools
	counted  map[types.ManagedObjectReference]usage // of accounts, as they are part of taken
	hosts    map[types.ManagedObjectReference]hostSize
	pools    map[types.ManagedObjectReference]poolLimit
	dirty    references
	wake     chan struct{}
	changed  chan struct{} // closed at the next change, if anybody waits
}

var ledger = newBooks()

func newBooks() *books {
	b := &books{wake: make(chan struct{}, 1)}
	b.clear()
	return b
}

func (b *books) clear() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.accounts = map[types.ManagedObjectReference]account{}
	b.taken = map[types.ManagedObjectReference]usage{}
	b.counted = map[types.ManagedObjectReference]usage{}
	b.hosts = map[types.ManagedObjectReference]hostSize{}
	b.pools = map[types.ManagedObjectReference]poolLimit{}
	b.dirty = references{}
}

// accountOf reads a VM, whose lock is held.
func accountOf(vm *mo.VirtualMachine) account {
	a := account{
		host: *vm.Runtime.Host, cpus: vm.Config.Hardware.NumCPU, memoryMB: int64(vm.Config.Hardware.MemoryMB),
		frozen:    isTrue(vm.Runtime.InstantCloneFrozen),
		suspended: vm.Runtime.PowerState == types.VirtualMachinePowerStateSuspended,
	}
	if vm.ResourcePool != nil {
		a.pool = *vm.ResourcePool
	}
	if allocation := vm.Config.MemoryAllocation; allocation != nil && allocation.Reservation != nil {
		a.reservedMB = *allocation.Reservation
	}
	if allocation := vm.Config.CpuAllocation; allocation != nil && allocation.Reservation != nil {
		a.reservedMHz = *allocation.Reservation
	}
	return a
}

// privateMB is the memory that a VM has for itself.
func (a account) privateMB(modes *Modes) int64 {
	if a.clone {
		return int64(modes.OverheadMB) + a.memoryMB*int64(modes.ClonePercent)/100
	}
	return int64(modes.OverheadMB) + a.memoryMB
}

func (a account) busyMHz(modes *Modes, mhzPerCore int64) int64 {
	if a.frozen || a.suspended {
		return 0
	}
	return int64(a.cpus) * mhzPerCore * int64(modes.CPUPercent) / 100
}

func (b *books) uses(a account) usage {
	modes := CurrentModes()
	return usage{
		max(a.reservedMB, a.privateMB(&modes)), max(a.reservedMHz, a.busyMHz(&modes, b.hosts[a.host].mhzPerCore)),
	}
}

// enter counts an account in the place of what was known of the VM. The mutex
// is held.
func (b *books) enter(ref types.ManagedObjectReference, a account) {
	b.strike(ref)
	uses := b.uses(a)
	b.accounts[ref], b.counted[ref] = a, uses
	b.change(a, func(old usage) usage { return old.plus(uses) })
}

func (b *books) strike(ref types.ManagedObjectReference) {
	if a, known := b.accounts[ref]; known {
		uses := b.counted[ref]
		b.change(a, func(old usage) usage { return old.minus(uses) })
		delete(b.accounts, ref)
		delete(b.counted, ref)
	}
}

func (b *books) change(a account, how func(usage) usage) {
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	b.taken[a.host] = how(b.taken[a.host])
	b.mark(a.host)
	for pool := a.pool; pool.Type != ""; pool = b.pools[pool].parent {
		b.taken[pool] = how(b.taken[pool])
		b.mark(pool)
	}
}

func (b *books) mark(ref types.ManagedObjectReference) {
	b.dirty[ref] = struct{}{}
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// admit counts a VM that is to run, or tells why it must not. What is counted
// under a task's reference is a clone that has no reference of its own yet.
func (b *books) admit(ref types.ManagedObjectReference, a account) types.BaseMethodFault {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.strike(ref)
	asked, modes := b.uses(a), CurrentModes()
	host := b.hosts[a.host]
	if modes.Admission {
		if a.cpus > host.threads {
			return &types.NumVirtualCpusExceedsLimit{MaxSupportedVcpus: host.threads}
		}
		if fault := asked.exceeds(host.usage, b.taken[a.host]); fault != nil {
			return fault
		}
	}
	for pool := a.pool; pool.Type != ""; pool = b.pools[pool].parent {
		limit, known := b.pools[pool]
		if !known {
			break // a vApp
		}
		if fault := asked.exceeds(limit.usage, b.taken[pool]); fault != nil {
			return fault
		}
	}
	b.enter(ref, a)
	return nil
}

// exceeds tells the fault if a limit has not as much left as is asked for.
func (u usage) exceeds(limit, taken usage) types.BaseMethodFault {
	if limit.memoryMB >= 0 && taken.memoryMB+u.memoryMB > limit.memoryMB {
		return &types.InsufficientMemoryResourcesFault{
			Unreserved: max(0, limit.memoryMB-taken.memoryMB) << 20, Requested: u.memoryMB << 20,
		}
	}
	if limit.mhz >= 0 && taken.mhz+u.mhz > limit.mhz {
		return &types.InsufficientCpuResourcesFault{Unreserved: max(0, limit.mhz-taken.mhz), Requested: u.mhz}
	}
	return nil
}

// rename is called when a clone that was admitted has become a VM.
func (b *books) rename(from, to types.ManagedObjectReference) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if a, known := b.accounts[from]; known {
		b.strike(from)
		b.enter(to, a)
	}
}

func (b *books) release(ref types.ManagedObjectReference) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.strike(ref)
}

// booted ends what a clone shares: its memory is made anew.
func (b *books) booted(ref types.ManagedObjectReference) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if a, known := b.accounts[ref]; known {
		a.clone, a.frozen = false, false
		b.enter(ref, a)
	}
}

// remodel counts everything again, by other modes.
func (b *books) remodel() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	for ref, a := range b.accounts {
		b.enter(ref, a)
	}
}
