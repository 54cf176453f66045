package simulated

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"sync"
	"time"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/simulated/agent"
	"vch.dev/e2e/simulator/simulated/kubelet"
)

// looksAgain is how often a parent that is not told what to be looks for it: as
// often as the agent does.
const looksAgain = time.Second

// Guest is the guest of one VM, also while that is off. It implements
// guest.Guest, guest.Killer and guest.Scripted.
type Guest struct {
	backend *Backend
	id      string // of the VM

	mutex   sync.Mutex
	vm      guest.VM
	host    guest.Host
	state   string
	timings map[string]time.Time
	script  kubelet.Script
	life    *life         // of a clone that is on
	off     chan struct{} // closed when the guest ends
	disk    disk
}

// disk is what a clone keeps over a power cycle.
type disk struct {
	cloneID     string
	certificate tls.Certificate
	fingerprint string
}

// start boots the guest, or goes on as a clone: what it is to be is in guestinfo.
func (g *Guest) start(vm guest.VM, host guest.Host) {
	now := time.Now()
	off := make(chan struct{})
	g.mutex.Lock()
	g.vm, g.host, g.off, g.state = vm, host, off, guest.Running
	g.timings = map[string]time.Time{"spawned": now, "running": now}
	g.mutex.Unlock()
	go g.become(host, off)
}

// become is the agent's first look at guestinfo.
func (g *Guest) become(host guest.Host, off chan struct{}) {
	for {
		if value, _ := host.InfoGet(agent.IdentityKey); value != "" {
			g.clone(host, value, off)
			return
		}
		value, _ := host.InfoGet(agent.ParentKey)
		told, err := agent.ParseParent(value)
		if err == nil && told.Freeze {
			g.freeze(host, told, off)
			return
		}
		if err != nil {
			_ = host.InfoSet(agent.ReportKey, agent.ReportParent(told, agent.Failed, err.Error()))
		}
		select {
		case <-off:
			return
		case <-time.After(looksAgain):
		}
	}
}

// freeze is a parent's life: it is warm at once, and frozen.
func (g *Guest) freeze(host guest.Host, told agent.Parent, off chan struct{}) {
	if told.ParentID != "" {
		_ = host.InfoSet(agent.ReportKey, agent.ReportParent(told, agent.Warm, ""))
	}
	g.mutex.Lock()
	current := g.off == off && g.state == guest.Running
	if current {
		g.state = guest.Frozen
		g.timings["frozen"] = time.Now()
	}
	g.mutex.Unlock()
	if current {
		if err := host.Frozen(); err != nil {
			g.backend.config.Log.Error("freeze failed", "vm", g.id, "error", err)
		}
	}
}

// clone is a clone's life: it makes its key, listens and says so.
func (g *Guest) clone(host guest.Host, value string, off chan struct{}) {
	who, err := agent.ParseIdentity(value)
	refuse := func(err error) {
		_ = host.InfoSet(agent.ReportKey, agent.Report(who, agent.Refused, "", 0, err.Error()))
	}
	if err != nil {
		refuse(err)
		return
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.off != off || g.state != guest.Running {
		return // it has ended meanwhile
	}
	g.timings["firstRPC"] = time.Now()
	if g.disk.cloneID == "" {
		g.disk.certificate, g.disk.fingerprint, err = agent.Certify(who, time.Now())
		g.disk.cloneID = who.CloneID
	}
	if err == nil && g.disk.cloneID != who.CloneID {
		err = errors.New("this machine is clone " + g.disk.cloneID + "; guestinfo speaks of " + who.CloneID)
	}
	if err == nil {
		g.life, err = g.live(host, who)
	}
	if err != nil {
		refuse(err)
		return
	}
	report := agent.Report(who, agent.Ready, g.disk.fingerprint, g.backend.port.number(), "")
	if err := host.InfoSet(agent.ReportKey, report); err != nil {
		g.backend.config.Log.Warn("report failed", "vm", g.id, "error", err)
	}
}

func (g *Guest) frozen() bool {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.state == guest.Frozen
}

// stop ends what runs, and tells whether anything did.
func (g *Guest) stop() (host guest.Host, ran bool) {
	g.mutex.Lock()
	l := g.life
	ran, host = g.state != guest.Off, g.host
	if ran {
		close(g.off)
	}
	g.life, g.state = nil, guest.Off
	g.mutex.Unlock()
	if l != nil {
		l.end()
	}
	return host, ran
}

// PowerOff implements guest.Guest.
func (g *Guest) PowerOff(context.Context) error {
	g.stop()
	return nil
}

// Destroy implements guest.Guest.
func (g *Guest) Destroy(context.Context) error {
	g.stop()
	g.backend.removed(g.id)
	return nil
}

// Reset implements guest.Guest.
func (g *Guest) Reset(context.Context) error {
	g.stop()
	g.mutex.Lock()
	vm, host := g.vm, g.host
	g.mutex.Unlock()
	g.start(vm, host)
	return nil
}

// Connect implements guest.Guest: its cards are on no network.
func (g *Guest) Connect(context.Context, []guest.Card) error { return nil }

// Kill implements guest.Killer.
func (g *Guest) Kill() error {
	if host, ran := g.stop(); ran {
		host.Exited(errors.New("the simulated guest crashed"))
	}
	return nil
}

// Follow implements guest.Scripted.
func (g *Guest) Follow(text []byte) error {
	script, err := kubelet.Script{}.Over(text)
	if err == nil {
		g.follow(script)
	}
	return err
}

func (g *Guest) follow(script kubelet.Script) {
	g.mutex.Lock()
	g.script = script
	l := g.life
	g.mutex.Unlock()
	if l != nil {
		l.kubelet.Follow(script)
	}
}

// Stats implements guest.Guest. It has no process and takes no memory of a VM.
func (g *Guest) Stats() (guest.Stats, error) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return guest.Stats{
		Guest: g.backend.Name(), State: g.state, Timings: maps.Clone(g.timings), RAMBytes: int64(g.vm.MemoryMB) << 20,
	}, nil
}
