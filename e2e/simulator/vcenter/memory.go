package vcenter

import (
	"bytes"
	"io"
	"net/http"

	"github.com/vmware/govmomi/simulator"
)

// measured stands in front of vcsim's handler: who asks for the quickStats of
// VMs gets what their guests use at that moment. VMs without a real guest keep
// what the ledger reckons.
func (m *Machines) measured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if bytes.Contains(body, []byte("RetrievePropertiesEx")) && bytes.Contains(body, []byte("quickStats")) {
				m.measure()
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (m *Machines) measure() {
	for _, entity := range m.ctx.Map.All("VirtualMachine") {
		vm, ok := entity.(*simulator.VirtualMachine)
		if !ok {
			continue
		}
		entry := m.find(vm.Self)
		if entry == nil {
			continue
		}
		current, running := entry.current()
		if !running {
			continue
		}
		stats, err := current.Stats()
		if err != nil {
			continue // it ends just now
		}
		ctx := m.ctx.Fresh()
		ctx.WithLock(vm, func() {
			vm.ShowMemory(ctx, stats.PrivateBytes>>20, stats.SharedBytes>>20, stats.ConsumedBytes>>20)
		})
	}
}
