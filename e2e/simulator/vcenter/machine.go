package vcenter

import (
	"context"
	"sync"
	"time"

	"vch.dev/e2e/simulator/guest"
)

const (
	// endTimeout is how long a guest may take to end.
	endTimeout = time.Minute
	// connectTimeout bounds plugging network cards: the VM is locked meanwhile.
	connectTimeout = 10 * time.Second
)

// machine is a VM that has, or had, a guest.
type machine struct {
	source  string
	backend guest.Backend

	operation sync.Mutex // one at a time, held while the backend works

	mutex sync.Mutex
	vm    guest.VM
	host  *host
	guest guest.Guest
	times map[string]time.Time
}

// end makes the host deaf and ends the guest, if there is one. The guest is
// kept for Destroy: what it wrote to disk is its own.
func (e *machine) end(how func(ctx context.Context, current guest.Guest) error) error {
	e.mutex.Lock()
	host, current := e.host, e.guest
	e.mutex.Unlock()
	if host != nil {
		host.end()
	}
	if current == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	return how(ctx, current)
}

func (e *machine) deafen() {
	e.mutex.Lock()
	host := e.host
	e.mutex.Unlock()
	if host != nil {
		host.end()
	}
}

// current tells the guest of the last start and whether it still runs.
func (e *machine) current() (current guest.Guest, running bool) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.guest == nil {
		return nil, false
	}
	exited, _ := e.host.state()
	return e.guest, e.host.hears() && !exited
}

func (e *machine) crashed() bool {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.guest == nil {
		return false
	}
	exited, _ := e.host.state()
	return e.host.hears() && exited
}
