// Package simulator is govmomi's; this file lets datastores be full, or out of
// reach.
package simulator

import (
	"fmt"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// States of a datastore.
const (
	DatastoreNormal       = "normal"
	DatastoreFull         = "full"         // NoDiskSpace
	DatastoreInaccessible = "inaccessible" // CannotAccessFile
)

var datastores = struct {
	sync.Mutex
	states map[types.ManagedObjectReference]string
}{states: map[types.ManagedObjectReference]string{}}

// DatastoreState tells it.
func DatastoreState(ref types.ManagedObjectReference) string {
	datastores.Lock()
	defer datastores.Unlock()
	if state, known := datastores.states[ref]; known {
		return state
	}
	return DatastoreNormal
}

// SetDatastoreState changes it, and what the inventory shows of it.
func SetDatastoreState(ctx *Context, ref types.ManagedObjectReference, state string) error {
	datastore, ok := ctx.Map.Get(ref).(*Datastore)
	if !ok {
		return fmt.Errorf("there is no datastore %s", ref.Value)
	}
	if state != DatastoreNormal && state != DatastoreFull && state != DatastoreInaccessible {
		return fmt.Errorf("state: %q is none of %s, %s, %s", state, DatastoreNormal, DatastoreFull, DatastoreInaccessible)
	}
	datastores.Lock()
	datastores.states[ref] = state
	datastores.Unlock()
	ctx.WithLock(datastore, func() {
		free := datastore.Summary.Capacity
		if state == DatastoreFull {
			free = 0
		}
		accessible := state != DatastoreInaccessible
		ctx.Update(datastore, []types.PropertyChange{
			{Name: "summary.freeSpace", Val: free},
			{Name: "summary.accessible", Val: accessible},
		})
	})
	return nil
}

// roomOn is the fault of a datastore that takes no file.
func roomOn(ctx *Context, ref types.ManagedObjectReference, file string) types.BaseMethodFault {
	switch DatastoreState(ref) {
	case DatastoreFull:
		name := ref.Value
		if datastore, ok := ctx.Map.Get(ref).(*Datastore); ok {
			name = datastore.Name
		}
		return &types.NoDiskSpace{FileFault: types.FileFault{File: file}, Datastore: name}
	case DatastoreInaccessible:
		return &types.CannotAccessFile{FileFault: types.FileFault{File: file}}
	}
	return nil
}

// roomForSwap: a VM's swap file is made when it is powered on. The VM's lock is
// held.
func (vm *VirtualMachine) roomForSwap(ctx *Context) types.BaseMethodFault {
	for _, ref := range vm.Datastore {
		if fault := roomOn(ctx, ref, vm.Config.Files.VmPathName); fault != nil {
			return fault
		}
	}
	return nil
}
