package vcenter

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// PlayFrozen does what a guest's freeze does, for a VM that has no guest.
func (m *Machines) PlayFrozen(id string) error {
	host, err := m.played(id)
	if err != nil {
		return err
	}
	return host.Frozen()
}

// PlayGuestinfo writes guestinfo as the guest does, for a VM that has none.
func (m *Machines) PlayGuestinfo(id string, values map[string]string) error {
	host, err := m.played(id)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if err := host.InfoSet(key, values[key]); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machines) played(id string) (*host, error) {
	ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: id}
	vm, ok := m.ctx.Map.Get(ref).(*simulator.VirtualMachine)
	if !ok {
		return nil, fmt.Errorf("there is no VM %s", id)
	}
	if m.find(ref) != nil {
		return nil, fmt.Errorf("VM %s has a guest of its own", id)
	}
	on := false
	ctx := m.ctx.Fresh()
	ctx.WithLock(vm, func() { on = vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn })
	if !on {
		return nil, fmt.Errorf("VM %s is powered off", id)
	}
	return &host{ref: ref, ctx: m.ctx, info: m.info, log: m.log}, nil
}
