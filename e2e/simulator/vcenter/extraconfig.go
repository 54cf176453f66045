package vcenter

import (
	"maps"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// guestinfoPrefix is what a guest may see and set of extraConfig.
const guestinfoPrefix = "guestinfo."

// infoStore is a copy of every VM's guestinfo, kept by the inventory's own
// notifications: a guest reads it without the VM's lock, which may be held by
// the very task that waits for the guest.
type infoStore struct {
	mutex sync.Mutex
	all   map[types.ManagedObjectReference]map[string]string
}

func newInfoStore() *infoStore {
	return &infoStore{all: map[types.ManagedObjectReference]map[string]string{}}
}

func (s *infoStore) get(ref types.ManagedObjectReference, key string) (string, bool) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	value, ok := s.all[ref][key]
	return value, ok
}

// set is ahead of the inventory, until that is told.
func (s *infoStore) set(ref types.ManagedObjectReference, key, value string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	values := maps.Clone(s.all[ref])
	if values == nil {
		values = map[string]string{}
	}
	if values[key] = value; value == "" {
		delete(values, key)
	}
	s.all[ref] = values
}

func (s *infoStore) size(ref types.ManagedObjectReference) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	size := 0
	for key, value := range s.all[ref] {
		size += len(key) + len(value)
	}
	return size
}

// Reference implements simulator.RegisterObject, as the methods below.
func (s *infoStore) Reference() types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: "Handler", Value: "guestinfo"}
}

// PutObject also fills what vcsim leaves empty in every new VM: a client that
// reads runtime or summary as a whole cannot decode an empty enumeration.
func (s *infoStore) PutObject(_ *simulator.Context, object mo.Reference) {
	vm, ok := object.(*simulator.VirtualMachine)
	if !ok {
		return
	}
	for _, runtime := range []*types.VirtualMachineRuntimeInfo{&vm.Runtime, &vm.Summary.Runtime} {
		runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateNotConfigured
		runtime.RecordReplayState = types.VirtualMachineRecordReplayStateInactive
	}
	s.copy(&vm.VirtualMachine)
}

func (s *infoStore) UpdateObject(_ *simulator.Context, object mo.Reference, changes []types.PropertyChange) {
	if vm, ok := object.(*mo.VirtualMachine); ok {
		for _, change := range changes {
			if change.Name == "config.extraConfig" {
				s.copy(vm)
			}
		}
	}
}

func (s *infoStore) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.all, ref)
}

func (s *infoStore) copy(vm *mo.VirtualMachine) {
	values := map[string]string{}
	for _, option := range vm.Config.ExtraConfig {
		value := option.GetOptionValue()
		if text, ok := value.Value.(string); ok && text != "" && strings.HasPrefix(value.Key, guestinfoPrefix) {
			values[value.Key] = text
		}
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.all[vm.Self] = values
}
