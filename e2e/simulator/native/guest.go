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
}

// start boots the guest: a clone runs its services, and so does a parent that is
// to be prepared, until it freezes. Any other parent only waits to be told to.
// source, if not nil, is the guest that it was cloned from.
func (g *Guest) start(vm guest.VM, host guest.Host, clone bool, source *Guest) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	if g.gone {
		return errClosed
	}
	g.vm, g.host = vm, host
	if source != nil {
		if err := inherit(source.dir, g.dir); err != nil {
			return err
		}
	}
	if clone {
		return g.run(nil)
	}
	if parentOf(host).ParentID != "" {
		return g.run(g.freeze)
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

// isClone tells at a boot; when it was cloned a guest may have no identity yet.
func isClone(host guest.Host) bool {
	value, _ := host.InfoGet(identityKey)
	return value != "" // as good as none: vSphere cannot remove a key
}

// isFork tells of a new clone of this one: it is to be a parent, and another one.
func (g *Guest) isFork(host guest.Host) bool {
	g.changing.Lock()
	source := g.host
	g.changing.Unlock()
	id := parentOf(host).ParentID
	return !isClone(host) && id != "" && id != parentOf(source).ParentID
}

// told is what a parent is told, as far as it matters here.
type told struct {
	ParentID string `json:"parentId"`
	Freeze   bool   `json:"freeze"`
}

func parentOf(host guest.Host) told {
	value, _ := host.InfoGet(parentKey)
	var parent told
	_ = json.Unmarshal([]byte(value), &parent) // what cannot be read is the agent's to complain about
	return parent
}

func toldToFreeze(host guest.Host) bool { return parentOf(host).Freeze }

// freeze ends a prepared parent's processes; its clones go on from what it has on
// disk, by starting their own.
func (g *Guest) freeze(l *life) {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.mutex.Lock()
	current := g.life == l
	if current {
		g.life = nil // what ends now is no crash
	}
	g.mutex.Unlock()
	if !current {
		return
	}
	l.kill()
	err := l.clean()
	g.mutex.Lock()
	g.state = guest.Frozen
	g.timings["frozen"] = time.Now()
	g.mutex.Unlock()
	if err := errors.Join(err, l.host.Frozen()); err != nil {
		g.backend.config.Log.Error("freeze failed", "vm", g.id, "error", err)
	}
}

func (g *Guest) frozen() bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.state == guest.Frozen
}

// run starts the guest's processes; freeze as in begin.
func (g *Guest) run(freeze func(*life)) error {
	l, err := begin(g.backend.config, g.vm, g.host, g.heard, freeze)
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
	return g.start(vm, host, isClone(host), nil)
}

// Connect implements guest.Guest.
func (g *Guest) Connect(_ context.Context, cards []guest.Card) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	g.vm.Cards = cards
	g.mutex.Lock()
	l := g.life
	g.mutex.Unlock()
	if l == nil {
		return nil
	}
	return l.connect(cards)
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
		// Libraries and programs: its share of them, since its processes share them with each other, too.
		stats.SharedBytes, stats.ConsumedBytes = stats.PssBytes-stats.PrivateBytes, stats.PssBytes
	}
	return stats, nil
}
