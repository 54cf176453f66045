// Package simulator is govmomi's; this file lets virtual machines have guests:
// real virtual machines or processes, chosen by the extraConfig key "sim.guest".
// The neighbour power.go starts and ends them.
package simulator

import (
	"context"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// GuestOptionKey is the extraConfig key that names the kind of guest of a VM.
const GuestOptionKey = "sim.guest"

// NoGuest is the kind of a VM that is simulated only.
const NoGuest = "none"

// GuestVM is what a guest has to know of its virtual machine, copied under the
// VM's lock.
type GuestVM struct {
	Ref      types.ManagedObjectReference
	Name     string
	Kind     string
	CPUs     int
	MemoryMB int
	Cards    []GuestCard
}

// GuestCard is a network card as the VM's hardware says.
type GuestCard struct {
	MAC       string
	PortGroup string // its name; empty if it is on none
	Connected bool
}

// VMGuests starts and ends the guests of VMs. The VM's lock is not held during
// a call, so that a guest may write guestinfo and collectors may read; calls
// that exclude each other do not overlap.
type VMGuests interface {
	PowerOn(vm GuestVM) error
	PowerOff(ref types.ManagedObjectReference) error
	Crash(ref types.ManagedObjectReference) error // ends at once, unheard
	Reset(vm GuestVM) error
	// Connect tells of cards that were changed. Of all these calls this one is
	// made with the VM's lock held: it must not wait for the guest.
	Connect(vm GuestVM) error
	Remove(ref types.ManagedObjectReference) error
	InstantClone(source types.ManagedObjectReference, vm GuestVM) types.BaseMethodFault
}

// Guests is set once, before the first VM is made.
var Guests VMGuests

// ExtraConfig is the value of a key, empty if it is not there. The VM's lock is
// held.
func ExtraConfig(options []types.BaseOptionValue, key string) string {
	for _, option := range options {
		if value := option.GetOptionValue(); value.Key == key {
			text, _ := value.Value.(string)
			return text
		}
	}
	return ""
}

func (vm *VirtualMachine) hasGuest() bool {
	kind := ExtraConfig(vm.Config.ExtraConfig, GuestOptionKey)
	return Guests != nil && kind != "" && kind != NoGuest
}

// guest describes the VM. Its lock is held.
func (vm *VirtualMachine) guest(ctx *Context) GuestVM {
	described := GuestVM{
		Ref:      vm.Self,
		Name:     vm.Name,
		Kind:     ExtraConfig(vm.Config.ExtraConfig, GuestOptionKey),
		CPUs:     int(vm.Config.Hardware.NumCPU),
		MemoryMB: int(vm.Config.Hardware.MemoryMB),
	}
	for _, device := range vm.Config.Hardware.Device {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			described.Cards = append(described.Cards, guestCard(ctx, card.GetVirtualEthernetCard()))
		}
	}
	return described
}

// Fresh is a context that holds no lock: locks are held on behalf of contexts.
func (c *Context) Fresh() *Context {
	return &Context{Map: c.Map, Session: c.Session, Context: context.Background(), svc: c.svc}
}

// operations says which tasks work on which VMs without their locks. A VM has
// one exclusive task (power, destroy) or any number of shared ones (clones of
// it); who comes too late gets TaskInProgress.
var operations = struct {
	sync.Mutex
	exclusive map[types.ManagedObjectReference]types.ManagedObjectReference
	shared    map[types.ManagedObjectReference][]types.ManagedObjectReference
}{
	exclusive: map[types.ManagedObjectReference]types.ManagedObjectReference{},
	shared:    map[types.ManagedObjectReference][]types.ManagedObjectReference{},
}

func (vm *VirtualMachine) exclusively(task *Task, run func() types.BaseMethodFault) types.BaseMethodFault {
	operations.Lock()
	other, busy := operations.exclusive[vm.Self]
	if sharers := operations.shared[vm.Self]; !busy && len(sharers) > 0 {
		other, busy = sharers[0], true
	}
	if !busy {
		operations.exclusive[vm.Self] = task.Self
	}
	operations.Unlock()
	if busy {
		return &types.TaskInProgress{Task: other}
	}
	defer func() {
		operations.Lock()
		delete(operations.exclusive, vm.Self)
		operations.Unlock()
	}()
	return run()
}

func (vm *VirtualMachine) shared(task *Task, run func() types.BaseMethodFault) types.BaseMethodFault {
	operations.Lock()
	other, busy := operations.exclusive[vm.Self]
	if !busy {
		operations.shared[vm.Self] = append(operations.shared[vm.Self], task.Self)
	}
	operations.Unlock()
	if busy {
		return &types.TaskInProgress{Task: other}
	}
	defer func() {
		operations.Lock()
		defer operations.Unlock()
		sharers := operations.shared[vm.Self]
		RemoveReference(&sharers, task.Self)
		if operations.shared[vm.Self] = sharers; len(sharers) == 0 {
			delete(operations.shared, vm.Self)
		}
	}()
	return run()
}

// SystemError is how vCenter reports what went wrong below it (KB 67186).
func SystemError(err error) types.BaseMethodFault {
	fault := &types.SystemError{Reason: err.Error()}
	fault.FaultCause = &types.LocalizedMethodFault{
		Fault: &types.GenericVmConfigFault{Reason: err.Error()}, LocalizedMessage: err.Error(),
	}
	return fault
}

// GuestWrote sets a key of extraConfig as the guest does it: without a task.
// The VM's lock is held on behalf of ctx.
func (vm *VirtualMachine) GuestWrote(ctx *Context, key, value string) {
	if value == "" && ExtraConfig(vm.Config.ExtraConfig, key) == "" {
		return // nothing to remove
	}
	vm.applyExtraConfig(ctx, &types.VirtualMachineConfigSpec{
		ExtraConfig: []types.BaseOptionValue{&types.OptionValue{Key: key, Value: value}},
	})
}
