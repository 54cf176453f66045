package native

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"vch.dev/e2e/simulator/guest"
)

const (
	identityKey = "guestinfo.vch.identity"
	parentKey   = "guestinfo.vch.parent"

	// looksForFreeze is how often a parent looks whether it is told to freeze:
	// as often as the agent does in a VM.
	looksForFreeze = time.Second
)

// Guest is the guest of one VM, also while that is off. It implements
// guest.Guest and guest.Killer.
type Guest struct {
	backend *Backend
	id      string // of the VM
	dir     string // the VM's

	changing sync.Mutex // held through each change; taken before mutex
	gone     bool       // destroyed; guarded by changing, as are vm and host
	vm       guest.VM
	host     guest.Host

	mutex    sync.Mutex
	state    string
	timings  map[string]time.Time
	memory   int           // configured, in MiB
	life     *life         // while processes run
	thinking chan struct{} // while a parent has not frozen; closing ends the wait
	parent   string        // its ID as it froze
}

// start boots the guest: a clone runs its services, a parent waits to be told to
// freeze.
func (g *Guest) start(vm guest.VM, host guest.Host, clone bool) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	if g.gone {
		return errClosed
	}
	g.vm, g.host = vm, host
	if clone {
		return g.run()
	}
	g.waitToFreeze()
	return nil
}

// waitToFreeze is what a parent does: nothing until it is told to freeze.
func (g *Guest) waitToFreeze() {
	stop, host := make(chan struct{}), g.host
	g.mutex.Lock()
	g.state, g.thinking, g.memory = guest.Running, stop, g.vm.MemoryMB
	g.timings = map[string]time.Time{"spawned": time.Now(), "running": time.Now()}
	g.mutex.Unlock()
	go func() {
		ticks := time.NewTicker(looksForFreeze)
		defer ticks.Stop()
		parent := readParent(host)
		for ; !parent.Freeze; parent = readParent(host) {
			select {
			case <-stop:
				return
			case <-ticks.C:
			}
		}
		if err := g.backend.warm(host, parent); err != nil {
			g.backend.config.Log.Error("report failed", "vm", g.id, "error", err)
		}
		g.mutex.Lock()
		g.parent = parent.ID
		stopped := g.thinking != stop
		if !stopped {
			g.state, g.thinking = guest.Frozen, nil
			g.timings["frozen"] = time.Now()
		}
		g.mutex.Unlock()
		if !stopped {
			if err := host.Frozen(); err != nil {
				g.backend.config.Log.Error("freeze failed", "vm", g.id, "error", err)
			}
		}
	}()
}

// isClone tells at a boot; when it was cloned a guest may have no identity yet,
// see isFork.
func isClone(host guest.Host) bool {
	_, found := host.InfoGet(identityKey)
	return found
}

// frozenAs tells whether it is frozen, and as which parent.
func (g *Guest) frozenAs() (parent string, frozen bool) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.parent, g.state == guest.Frozen
}

// run starts the guest's processes.
func (g *Guest) run() error {
	l, err := begin(g.backend.config, g.vm, g.host, g.heard)
	if err != nil {
		return err
	}
	g.mutex.Lock()
	g.life, g.state, g.memory = l, guest.Running, g.vm.MemoryMB
	g.timings = map[string]time.Time{"spawned": l.spawned, "running": time.Now()}
	g.mutex.Unlock()
	go g.watch(l)
	return nil
}

func (g *Guest) heard() {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if _, before := g.timings["firstRPC"]; !before {
		g.timings["firstRPC"] = time.Now()
	}
}

// watch tells the VM when its guest ends without being told to.
func (g *Guest) watch(l *life) {
	<-l.ended
	failure := l.clean()
	g.mutex.Lock()
	crashed := g.life == l
	if crashed {
		g.life, g.state = nil, guest.Off
	}
	g.mutex.Unlock()
	if crashed {
		ended := errors.New("the guest's init ended; its console is in " + l.console)
		l.host.Exited(errors.Join(ended, failure))
	}
}

// PowerOff implements guest.Guest.
func (g *Guest) PowerOff(context.Context) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	return g.stop()
}

func (g *Guest) stop() error {
	g.mutex.Lock()
	l := g.life
	if g.thinking != nil {
		close(g.thinking)
		g.thinking = nil
	}
	g.life, g.state = nil, guest.Off
	g.mutex.Unlock()
	if l == nil {
		return nil
	}
	l.kill()
	return l.clean()
}

// Kill implements guest.Killer.
func (g *Guest) Kill() error {
	g.mutex.Lock()
	l := g.life
	g.mutex.Unlock()
	if l != nil {
		l.kill()
	}
	return nil
}

// Reset implements guest.Guest.
func (g *Guest) Reset(ctx context.Context) error {
	if err := g.PowerOff(ctx); err != nil {
		return err
	}
	g.changing.Lock()
	vm, host := g.vm, g.host
	g.changing.Unlock()
	return g.start(vm, host, isClone(host))
}

// Destroy implements guest.Guest.
func (g *Guest) Destroy(context.Context) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.gone = true
	err := g.stop()
	for _, name := range []string{dataFolder, rootFolder, rootFolder + layerSuffix, socketName, consoleName} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(g.dir, name)))
	}
	g.backend.removed(g.id)
	return err
}

// Stats implements guest.Guest.
func (g *Guest) Stats() (guest.Stats, error) {
	g.mutex.Lock()
	l := g.life
	stats := guest.Stats{
		Guest: g.backend.Name(), State: g.state, Timings: maps.Clone(g.timings), RAMBytes: int64(g.memory) << 20,
	}
	g.mutex.Unlock()
	if l != nil {
		stats.PID = l.pid()
		stats.Processes = l.group.processes()
		stats.PssBytes, stats.PrivateBytes = memoryUsage(stats.Processes)
	}
	return stats, nil
}
