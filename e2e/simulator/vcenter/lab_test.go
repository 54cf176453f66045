package vcenter

import (
	"reflect"
	"testing"
	"time"

	"github.com/vmware/govmomi/event"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// until waits, as a client of PropertyCollector does, for a leaf property.
func (l *lab) until(ref types.ManagedObjectReference, path string, holds func(value any) bool) {
	l.Helper()
	var seen any
	err := property.Wait(l.ctx, property.DefaultCollector(l.client.Client), ref, []string{path},
		func(changes []types.PropertyChange) bool {
			for _, change := range changes {
				if change.Name == path {
					seen = change.Val
				}
			}
			return holds(seen)
		})
	if err != nil {
		l.Fatalf("%s of %s: %v; it is %v", path, ref.Value, err, seen)
	}
}

func is(expected any) func(any) bool {
	return func(value any) bool { return reflect.DeepEqual(value, expected) }
}

// host is one by its name, e.g. DC0_C0_H1.
func (l *lab) host(name string) types.ManagedObjectReference {
	l.Helper()
	host, err := l.finder.HostSystem(l.ctx, name)
	must(l.T, err)
	return host.Reference()
}

func (l *lab) datastore(name string) types.ManagedObjectReference {
	l.Helper()
	datastore, err := l.finder.Datastore(l.ctx, name)
	must(l.T, err)
	return datastore.Reference()
}

func (l *lab) rootPool() *object.ResourcePool {
	l.Helper()
	pool, err := l.finder.ResourcePool(l.ctx, "DC0_C0/Resources")
	must(l.T, err)
	return pool
}

func (l *lab) vmFolder() *object.Folder {
	l.Helper()
	folder, err := l.finder.Folder(l.ctx, "vm")
	must(l.T, err)
	return folder
}

// made clones the parent instantly.
func (l *lab) made(name string) types.ManagedObjectReference {
	l.Helper()
	info, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: name})
	must(l.T, err)
	return info.Result.(types.ManagedObjectReference)
}

func (l *lab) hostOf(vm types.ManagedObjectReference) types.ManagedObjectReference {
	return *l.read(vm).Runtime.Host
}

func (l *lab) powerOff(vm types.ManagedObjectReference) {
	l.Helper()
	off, err := object.NewVirtualMachine(l.client.Client, vm).PowerOff(l.ctx)
	must(l.T, err)
	must(l.T, off.Wait(l.ctx))
}

func (l *lab) pool(ref types.ManagedObjectReference) (seen mo.ResourcePool) {
	l.Helper()
	must(l.T, property.DefaultCollector(l.client.Client).RetrieveOne(l.ctx, ref, nil, &seen))
	return seen
}

// events are the kinds of a VM's.
func (l *lab) events(of types.ManagedObjectReference) map[string]int {
	l.Helper()
	events, err := event.NewManager(l.client.Client).QueryEvents(l.ctx, types.EventFilterSpec{
		Entity: &types.EventFilterSpecByEntity{Entity: of, Recursion: types.EventFilterSpecRecursionOptionAll},
	})
	must(l.T, err)
	kinds := map[string]int{}
	for _, event := range events {
		kinds[reflect.TypeOf(event).Elem().Name()]++
	}
	return kinds
}

// fails tells whether an error is a fault of this kind.
func fails[F types.BaseMethodFault](t *testing.T, err error, what string) (found F) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no fault", what)
		return found
	}
	if _, ok := fault.As(err, &found); !ok {
		t.Errorf("%s: got %v, not %T", what, err, found)
	}
	return found
}

// eventually is for what no property tells.
func (l *lab) eventually(what string, holds func() bool) {
	l.Helper()
	for !holds() {
		select {
		case <-l.ctx.Done():
			l.Fatalf("it never came true that %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
