// Package simulator is govmomi's; this file has what is asked of the ledger.
package simulator

import "github.com/vmware/govmomi/vim25/types"

// fits tells whether a host has room for a VM, if that matters.
func (b *books) fits(host types.ManagedObjectReference, a account) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	a.host, a.clone = host, false
	return !CurrentModes().Admission || b.uses(a).exceeds(b.hosts[host].usage, b.taken[host]) == nil
}

func (b *books) memoryLeft(host types.ManagedObjectReference) int64 {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.hosts[host].memoryMB - b.taken[host].memoryMB
}

func (b *books) ofHost(host types.ManagedObjectReference) (size, taken usage, running int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.hosts[host].usage, b.taken[host], b.running(host)
}

func (b *books) running(host types.ManagedObjectReference) int {
	running := 0
	for _, a := range b.accounts {
		if a.host == host {
			running++
		}
	}
	return running
}

// watch tells how many VMs run on a host, and what is closed when that may have
// changed.
func (b *books) watch(host types.ManagedObjectReference) (changed <-chan struct{}, running int) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed, b.running(host)
}

// memoryOf is what a VM has for itself and shares, in MB.
func (b *books) memoryOf(ref types.ManagedObjectReference, on bool) (private, shared int64) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	a, known := b.accounts[ref]
	if !known || !on {
		return 0, 0
	}
	modes := CurrentModes()
	private = a.privateMB(&modes)
	return private, max(0, a.memoryMB+int64(modes.OverheadMB)-private)
}
