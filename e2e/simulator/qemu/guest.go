package qemu

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/rpc"
)

const (
	diskName    = "disk.qcow2"
	consoleName = "console.log"
)

// Guest is the guest of one VM, also while that is off. It implements
// guest.Guest and guest.Killer.
type Guest struct {
	backend *Backend
	id      string // of the VM
	dir     string // the VM's

	changing sync.Mutex // held through each change; taken before mutex
	vm       guest.VM   // guarded by changing, as is host
	host     guest.Host

	mutex   sync.Mutex
	state   string
	timings map[string]time.Time
	life    *life     // while a process runs
	frozen  *snapshot // while frozen
	under   *snapshot // that the disk lies on; nil: it lies on the image
}

// boot starts the guest from its disk.
func (g *Guest) boot(ctx context.Context, vm guest.VM, host guest.Host) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.vm, g.host = vm, host
	return g.bootAgain(ctx)
}

func (g *Guest) bootAgain(ctx context.Context) error {
	m := machine{
		Accelerator: g.backend.accelerator(), CPUs: g.vm.CPUs, MemoryMB: g.vm.MemoryMB,
		Kernel: g.backend.image(imageKernel), Initrd: g.backend.image(imageInitrd),
		Disk: g.path(diskName), Console: g.path(consoleName), Shared: true,
	}
	if err := g.ensureDisk(ctx, m.Disk); err != nil {
		return err
	}
	memory, err := newMemory(m.MemoryMB)
	if err != nil {
		return err
	}
	if err := g.start(ctx, &life{machine: m, memory: memory, host: g.host}, memory, nil); err != nil {
		_ = memory.Close()
		return err
	}
	return nil
}

// thaw starts the guest as a clone of a frozen one.
func (g *Guest) thaw(ctx context.Context, from *snapshot, vm guest.VM, host guest.Host) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.vm, g.host = vm, host
	memory, devices, changes, err := from.lend()
	if err != nil {
		return err
	}
	defer memory.Close()
	g.under = from
	m := from.machine
	m.Shared, m.Incoming = false, true
	m.Disk, m.Console = g.path(diskName), g.path(consoleName)
	if err := from.newLayer(m.Disk); err != nil {
		return err
	}
	return g.start(ctx, &life{machine: m, request: from.freeze, host: host, patch: changes}, memory, devices)
}

func (g *Guest) start(ctx context.Context, l *life, memory *os.File, devices []byte) error {
	spawned := time.Now()
	if err := l.start(ctx, g.id, g.vm.Cards, memory, devices); err != nil {
		return err
	}
	g.mutex.Lock()
	g.life, g.state = l, guest.Booting
	if l.machine.Incoming {
		g.state = guest.Running
	}
	g.timings = map[string]time.Time{"spawned": spawned, "running": time.Now()}
	g.mutex.Unlock()
	go g.serve(l, rpc.MACs(g.vm.Cards))
	go g.watch(l)
	return nil
}

// serve answers the guest's vmware-rpctool.
func (g *Guest) serve(l *life, macs []string) {
	if l.request != "" {
		if err := rpc.Write(l.process.rpc, rpc.Reply{ID: l.request, OK: true}); err != nil {
			return // it has ended
		}
	}
	session := rpc.Session{
		Host: l.host,
		MACs: macs,
		Seen: func(string) { g.heard(l) },
		Freeze: func(id string) {
			go func() {
				if err := g.freeze(l, id); err != nil {
					g.backend.config.Log.Error("freeze failed", "vm", g.id, "error", err)
					_ = rpc.Write(l.process.rpc, rpc.Reply{ID: id, Value: err.Error()})
				}
			}()
		},
	}
	if err := session.Serve(l.process.rpc); err != nil && !l.wanted.Load() {
		g.backend.config.Log.Warn("guest's RPC ended", "vm", g.id, "error", err)
	}
}

func (g *Guest) heard(l *life) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if _, before := g.timings["firstRPC"]; before || g.life != l {
		return
	}
	g.timings["firstRPC"] = time.Now()
	g.state = guest.Running
}

// watch tells the VM when its guest ends without being told to.
func (g *Guest) watch(l *life) {
	<-l.process.ended
	g.mutex.Lock()
	if g.life == l {
		g.life = nil
		if !l.wanted.Load() {
			g.state = guest.Off
		}
	}
	g.mutex.Unlock()
	if l.wanted.Load() {
		return
	}
	if l.memory != nil {
		_ = l.memory.Close()
	}
	err := l.process.failure()
	if err == nil {
		err = errors.New("the guest powered off, rebooted or panicked; its console is in " + l.machine.Console)
	}
	l.host.Exited(err)
}

// PowerOff implements guest.Guest.
func (g *Guest) PowerOff(context.Context) error {
	g.stop((*process).terminate)
	return nil
}

// Kill implements guest.Killer.
func (g *Guest) Kill() error {
	g.mutex.Lock()
	l := g.life
	g.mutex.Unlock()
	if l != nil {
		l.process.kill()
	}
	return nil
}

// Reset implements guest.Guest.
func (g *Guest) Reset(ctx context.Context) error {
	g.stop((*process).terminate)
	g.changing.Lock()
	defer g.changing.Unlock()
	return g.bootAgain(ctx)
}

// Connect implements guest.Guest.
func (g *Guest) Connect(ctx context.Context, cards []guest.Card) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.vm.Cards = cards
	g.mutex.Lock()
	l := g.life
	g.mutex.Unlock()
	if l == nil || l.wanted.Load() { // frozen or off, or about to be
		return nil
	}
	return l.connect(ctx, cards)
}

// Destroy implements guest.Guest.
func (g *Guest) Destroy(context.Context) error {
	g.stop((*process).kill)
	g.changing.Lock()
	defer g.changing.Unlock()
	err := os.Remove(g.path(diskName))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if g.under != nil {
		err = errors.Join(err, g.under.release())
		g.under = nil
	}
	g.backend.removed(g.id)
	return err
}

// stop ends the guest, running or frozen, and keeps its disk.
func (g *Guest) stop(how func(*process)) {
	g.mutex.Lock()
	l := g.life
	g.mutex.Unlock()
	if l != nil {
		l.end(how) // also ends a freeze that is going on
	}
	g.changing.Lock()
	defer g.changing.Unlock()
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if l != nil && l.memory != nil && g.frozen == nil {
		_ = l.memory.Close()
	}
	if g.frozen != nil {
		// Clones may lie on its disk: from now on it is under a new layer.
		g.frozen.forget()
		g.under, g.frozen = g.frozen, nil
	}
	g.life, g.state = nil, guest.Off
}

// Stats implements guest.Guest.
func (g *Guest) Stats() (guest.Stats, error) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	stats := guest.Stats{
		Guest: g.backend.Name(), State: g.state, Timings: maps.Clone(g.timings),
		Accelerator: g.backend.accelerator().name,
	}
	switch {
	case g.frozen != nil:
		stats.RAMBytes = int64(g.frozen.machine.MemoryMB) << 20
		stats.PrivateBytes = g.frozen.held()
		stats.PssBytes, stats.ConsumedBytes = stats.PrivateBytes, stats.PrivateBytes
		stats.ChangedBytes = g.frozen.changed
	case g.life != nil:
		stats.RAMBytes = int64(g.life.machine.MemoryMB) << 20
		stats.PID = g.life.process.pid()
		stats.Processes = []int{stats.PID}
		used, err := memoryUsage(stats.PID)
		if err != nil {
			return stats, nil // it ends just now
		}
		stats.PssBytes, stats.PrivateBytes = used.Proportional, used.Private
		if !g.life.machine.Shared {
			// Only what was copied: the kernel calls a page of the parent's private too as
			// long as there is but one clone that has touched it.
			stats.PrivateBytes = used.Anonymous
		}
		stats.SharedBytes, stats.ConsumedBytes = used.Resident-stats.PrivateBytes, stats.PrivateBytes
	}
	return stats, nil
}

func (g *Guest) path(name string) string { return filepath.Join(g.dir, name) }

// ensureDisk makes the guest's disk if it has none.
func (g *Guest) ensureDisk(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if g.under != nil {
		return g.under.newLayer(path)
	}
	return newLayer(ctx, path, g.backend.image(imageDisk), "raw")
}

func (g *Guest) cloneable() *snapshot {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.frozen
}
