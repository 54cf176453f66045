package vcenter

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// storeLimit is tools.setInfo.sizeLimit's default: all guestinfo of a VM.
const storeLimit = 1 << 20

// host is what one start of a guest sees of its VM: it implements guest.Host.
//
// What the guest says is applied to the inventory in order by a goroutine,
// because the VM may be locked by the very task that waits for the guest.
type host struct {
	ref  types.ManagedObjectReference
	ctx  *simulator.Context
	info *infoStore
	log  *slog.Logger

	mutex   sync.Mutex
	ended   bool // nothing that the guest says is heard any more
	exited  bool
	frozen  time.Time
	queue   []change
	working bool
}

type change func(ctx *simulator.Context, vm *simulator.VirtualMachine)

// InfoGet implements guest.Host.
func (h *host) InfoGet(key string) (string, bool) {
	if !strings.HasPrefix(key, guestinfoPrefix) {
		return "", false
	}
	return h.info.get(h.ref, key)
}

// InfoSet implements guest.Host.
func (h *host) InfoSet(key, value string) error {
	if !strings.HasPrefix(key, guestinfoPrefix) || key == guestinfoPrefix {
		return fmt.Errorf("permission denied: a guest may set %s* only, not %s", guestinfoPrefix, key)
	}
	if h.info.size(h.ref)+len(key)+len(value) > storeLimit {
		return fmt.Errorf("%s: the VM's guestinfo would exceed %d bytes", key, storeLimit)
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.ended {
		return fmt.Errorf("VM %s is powered off", h.ref.Value)
	}
	h.info.set(h.ref, key, value)
	h.apply(func(ctx *simulator.Context, vm *simulator.VirtualMachine) { vm.GuestWrote(ctx, key, value) })
	return nil
}

// Frozen implements guest.Host.
func (h *host) Frozen() error {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.ended {
		return fmt.Errorf("VM %s is powered off", h.ref.Value)
	}
	h.frozen = time.Now()
	h.apply(func(ctx *simulator.Context, vm *simulator.VirtualMachine) { vm.GuestFrozen(ctx) })
	return nil
}

// Exited implements guest.Host.
func (h *host) Exited(err error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.ended {
		return
	}
	h.log.Warn("guest ended by itself", "vm", h.ref.Value, "error", err)
	h.exited = true
	h.apply(func(ctx *simulator.Context, vm *simulator.VirtualMachine) { vm.GuestExited(ctx) })
}

// end makes the host deaf.
func (h *host) end() {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.ended = true
	h.queue = nil
}

// state tells whether the guest ended by itself, and when it froze.
func (h *host) state() (exited bool, frozen time.Time) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.exited, h.frozen
}

// apply queues a change. The mutex is held.
func (h *host) apply(next change) {
	h.queue = append(h.queue, next)
	if !h.working {
		h.working = true
		go h.work()
	}
}

func (h *host) work() {
	for next := h.next(); next != nil; next = h.next() {
		vm, ok := h.ctx.Map.Get(h.ref).(*simulator.VirtualMachine)
		if !ok {
			continue
		}
		ctx := h.ctx.Fresh()
		ctx.WithLock(vm, func() {
			if h.hears() {
				next(ctx, vm)
			}
		})
	}
}

func (h *host) next() change {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if len(h.queue) == 0 {
		h.working = false
		return nil
	}
	next := h.queue[0]
	h.queue = h.queue[1:]
	return next
}

func (h *host) hears() bool {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return !h.ended
}
