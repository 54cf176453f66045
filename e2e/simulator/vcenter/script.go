package vcenter

import (
	"fmt"

	"github.com/vmware/govmomi/vim25/types"

	"vch.dev/e2e/simulator/guest"
)

// Script has a VM's guest behave by a script from now on.
func (m *Machines) Script(id string, script []byte) error {
	entry := m.find(types.ManagedObjectReference{Type: "VirtualMachine", Value: id})
	if entry == nil {
		return fmt.Errorf("there is no VM %s with a guest", id)
	}
	current, _ := entry.current()
	scripted, ok := current.(guest.Scripted)
	if !ok {
		return fmt.Errorf("the guest of VM %s follows no script", id)
	}
	return scripted.Follow(script)
}

// ScriptAll has all guests that can behave by a script, until they are told
// another.
func (m *Machines) ScriptAll(script []byte) error {
	for _, backend := range m.backends {
		if scripted, ok := backend.(guest.Scripted); ok {
			if err := scripted.Follow(script); err != nil {
				return err
			}
		}
	}
	return nil
}
