package qemu

import (
	"context"
	"errors"
	"time"

	"vch.dev/e2e/simulator/guest"
)

// freezesWithin bounds saving a guest's state.
const freezesWithin = 2 * time.Minute

// freeze ends the guest's process in a snapshot. The guest's request with this
// ID stays unanswered: its clones get the answer.
func (g *Guest) freeze(l *life, id string) error {
	g.changing.Lock()
	defer g.changing.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), freezesWithin)
	defer cancel()
	g.mutex.Lock()
	current := g.life == l
	g.mutex.Unlock()
	if !current {
		return errMonitorClosed
	}
	snap := &snapshot{machine: l.machine, freeze: id, under: g.under, users: 1}
	var err error
	if fork := l.memory == nil; fork {
		snap.machine.Bare = true
		snap.devices, snap.memory, snap.changed, err = l.saveFork(ctx, g.dir)
	} else {
		snap.machine.Bare = false
		snap.memory = l.memory
		snap.devices, err = l.save(ctx)
	}
	if err != nil {
		return err
	}
	l.end((*process).terminate)
	snap.folder = g.backend.snapshotFolder(g.id)
	if err := errors.Join(seal(snap.memory), snap.keepDisk(ctx)); err != nil {
		return g.lost(l, errors.Join(err, snap.release()))
	}
	g.mutex.Lock()
	g.frozen, g.under, g.state = snap, nil, guest.Frozen
	g.timings["frozen"] = time.Now()
	g.mutex.Unlock()
	return l.host.Frozen()
}

// lost is a guest that ended and could not be kept: to its VM that is a crash.
func (g *Guest) lost(l *life, err error) error {
	g.mutex.Lock()
	g.under, g.state = nil, guest.Off
	g.mutex.Unlock()
	l.host.Exited(err)
	return err
}
