package vcenter

import (
	"testing"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vch.dev/e2e/simulator/guest"
)

func (l *lab) memory(vm types.ManagedObjectReference) (private, shared, consumed int32) {
	l.Helper()
	var seen mo.VirtualMachine
	paths := []string{"summary.quickStats"}
	must(l.T, property.DefaultCollector(l.client.Client).RetrieveOne(l.ctx, vm, paths, &seen))
	stats := seen.Summary.QuickStats
	return stats.PrivateMemory, stats.SharedMemory, stats.HostMemoryUsage
}

func TestMemoryIsWhatTheGuestsUse(t *testing.T) {
	l := start(t)
	clone := l.made("clone")
	for _, used := range []int64{0, 40, 60} {
		l.backend.mutex.Lock()
		l.backend.stats = guest.Stats{
			PrivateBytes: used << 20, SharedBytes: 200 << 20, PssBytes: 100 << 20, ConsumedBytes: used << 20,
		}
		l.backend.mutex.Unlock()
		if private, shared, consumed := l.memory(clone); private != int32(used) || shared != 200 || consumed != int32(used) {
			t.Errorf("private %d, shared %d, consumed %d MB", private, shared, consumed)
		}
	}
	l.powerOff(clone)
	if private, shared, consumed := l.memory(clone); private+shared+consumed != 0 {
		t.Errorf("off: private %d, shared %d, consumed %d MB", private, shared, consumed)
	}
}
