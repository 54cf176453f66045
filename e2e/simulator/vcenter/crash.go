package vcenter

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/vmware/govmomi/vim25/types"

	"vch.dev/e2e/simulator/guest"
)

// Crash implements simulator.VMGuests: the guest ends as its host does, and the
// VM is not told.
func (m *Machines) Crash(ref types.ManagedObjectReference) error {
	entry := m.find(ref)
	if entry == nil {
		return nil
	}
	entry.deafen() // first: a start that is going on would wait for what it hears
	entry.operation.Lock()
	defer entry.operation.Unlock()
	return entry.end(func(ctx context.Context, current guest.Guest) error {
		var err error
		if killer, ok := current.(guest.Killer); ok {
			err = killer.Kill()
		}
		return errors.Join(err, current.PowerOff(ctx))
	})
}

// Kill ends a VM's guest as a crash would.
func (m *Machines) Kill(id string) error {
	entry := m.find(types.ManagedObjectReference{Type: "VirtualMachine", Value: id})
	if entry == nil {
		return fmt.Errorf("there is no VM %s with a guest", id)
	}
	current, running := entry.current()
	if current == nil || !running {
		return fmt.Errorf("the guest of VM %s is off", id)
	}
	if killer, ok := current.(guest.Killer); ok {
		return killer.Kill()
	}
	stats, err := current.Stats()
	if err != nil {
		return err
	}
	if stats.PID <= 0 {
		return fmt.Errorf("the guest of VM %s has no process", id)
	}
	return syscall.Kill(stats.PID, syscall.SIGKILL)
}
