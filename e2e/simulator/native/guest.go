package native

import (
	"context"
	"encoding/json"
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

	mutex    sync.Mutex
	vm       guest.VM
	host     guest.Host
	state    string
	timings  map[string]time.Time
	life     *life         // while processes run
	thinking chan struct{} // while a parent has not frozen; closing ends the wait
}

// waitToFreeze is what a parent does: nothing until it is told to freeze.
func (g *Guest) waitToFreeze(host guest.Host) {
	stop := make(chan struct{})
	g.mutex.Lock()
	g.state, g.thinking, g.host = guest.Running, stop, host
	g.timings = map[string]time.Time{"spawned": time.Now(), "running": time.Now()}
	g.mutex.Unlock()
	go func() {
		ticks := time.NewTicker(looksForFreeze)
		defer ticks.Stop()
		for !toldToFreeze(host) {
			select {
			case <-stop:
				return
			case <-ticks.C:
			}
		}
		g.mutex.Lock()
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

func toldToFreeze(host guest.Host) bool {
	value, _ := host.InfoGet(parentKey)
	var told struct {
		Freeze bool `json:"freeze"`
	}
	return json.Unmarshal([]byte(value), &told) == nil && told.Freeze
}

func (g *Guest) frozen() bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.state == guest.Frozen
}

// start runs the guest's processes.
func (g *Guest) start(_ context.Context, vm guest.VM, host guest.Host) error {
	l, err := begin(g.backend.config, vm, host, g.heard)
	if err != nil {
		return err
	}
	g.mutex.Lock()
	g.vm, g.host, g.life, g.state = vm, host, l, guest.Running
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
	g.mutex.Lock()
	crashed := g.life == l
	if crashed {
		g.life, g.state = nil, guest.Off
	}
	g.mutex.Unlock()
	if crashed {
		l.clean()
		l.host.Exited(errors.New("the guest's init ended; its console is in " + l.console))
	}
}

// PowerOff implements guest.Guest.
func (g *Guest) PowerOff(context.Context) error {
	g.mutex.Lock()
	l := g.life
	if g.thinking != nil {
		close(g.thinking)
		g.thinking = nil
	}
	g.life, g.state = nil, guest.Off
	g.mutex.Unlock()
	if l != nil {
		l.kill()
		l.clean()
	}
	return nil
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
	g.mutex.Lock()
	vm, host, running := g.vm, g.host, g.life != nil
	g.mutex.Unlock()
	if err := g.PowerOff(ctx); err != nil {
		return err
	}
	if !running {
		g.waitToFreeze(host)
		return nil
	}
	return g.start(ctx, vm, host)
}

// Destroy implements guest.Guest.
func (g *Guest) Destroy(ctx context.Context) error {
	err := g.PowerOff(ctx)
	for _, name := range []string{dataFolder, rootFolder} {
		err = errors.Join(err, os.RemoveAll(filepath.Join(g.dir, name)))
	}
	g.backend.removed(g.id)
	return err
}

// Stats implements guest.Guest.
func (g *Guest) Stats() (guest.Stats, error) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	stats := guest.Stats{
		Guest: g.backend.Name(), State: g.state, Timings: maps.Clone(g.timings),
		RAMBytes: int64(g.vm.MemoryMB) << 20,
	}
	if g.life != nil {
		stats.PID = g.life.pid()
		stats.Processes = g.life.group.processes()
		stats.PssBytes, stats.PrivateBytes = memoryUsage(stats.Processes)
	}
	return stats, nil
}
