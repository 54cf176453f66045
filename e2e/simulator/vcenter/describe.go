package vcenter

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vch.dev/e2e/simulator/guest"
)

// Description is a VM with its guest, for the control endpoint.
type Description struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Power  string `json:"power"` // as vSphere's API shows it
	Host   string `json:"host"`  // its ID
	Source string `json:"sourceID,omitempty"`
	guest.Stats
}

// Describe lists the VMs of the inventory.
func (m *Machines) Describe() []Description {
	described := []Description{} // none is a list too
	for _, entity := range m.ctx.Map.All("VirtualMachine") {
		if vm, ok := entity.(*simulator.VirtualMachine); ok {
			described = append(described, m.describe(vm))
		}
	}
	slices.SortFunc(described, func(a, b Description) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return described
}

func (m *Machines) describe(vm *simulator.VirtualMachine) (described Description) {
	defer func() {
		if described.Processes == nil {
			described.Processes = []int{}
		}
		if described.Timings == nil {
			described.Timings = map[string]time.Time{}
		}
	}()
	ctx := m.ctx.Fresh()
	ctx.WithLock(vm, func() {
		described.ID, described.Name, described.Power = vm.Self.Value, vm.Name, string(vm.Runtime.PowerState)
		described.Host = vm.Runtime.Host.Value
		described.Stats = guest.Stats{State: simulatedState(&vm.VirtualMachine), Guest: simulator.NoGuest}
		if kind := simulator.ExtraConfig(vm.Config.ExtraConfig, simulator.GuestOptionKey); kind != "" {
			described.Guest = kind
		}
		described.RAMBytes = int64(vm.Config.Hardware.MemoryMB) << 20
	})
	entry := m.find(vm.Self)
	if entry == nil {
		return described
	}
	described.Source = entry.source
	entry.mutex.Lock()
	times, host := maps.Clone(entry.times), entry.host
	entry.mutex.Unlock()
	if host == nil {
		return described // not started yet
	}
	current, running := entry.current()
	if current != nil && !running {
		described.State = guest.Off // also when vCenter cannot know: its host is lost
	}
	if running {
		if stats, err := current.Stats(); err == nil {
			if stats.Guest == "" {
				stats.Guest = described.Guest
			}
			described.Stats = stats
		}
	}
	_, frozen := host.state()
	described.Timings = allTimes(described.Timings, times, frozen)
	return described
}

// allTimes adds what is known here to what the guest knows of itself.
func allTimes(guests, ours map[string]time.Time, frozen time.Time) map[string]time.Time {
	all := map[string]time.Time{}
	if !frozen.IsZero() {
		all["frozen"] = frozen.UTC()
	}
	for _, times := range []map[string]time.Time{ours, guests} {
		for name, at := range times {
			if !at.IsZero() {
				all[name] = at.UTC()
			}
		}
	}
	return all
}

func simulatedState(vm *mo.VirtualMachine) string {
	switch frozen := vm.Runtime.InstantCloneFrozen; {
	case vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn:
		return guest.Off
	case frozen != nil && *frozen:
		return guest.Frozen
	}
	return guest.Running
}
