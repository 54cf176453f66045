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
	snap, err := l.snapshot(ctx, g.dir)
	if err != nil {
		return err
	}
	snap.freeze, snap.under, snap.users = id, g.under, 1
	l.end((*process).terminate)
	snap.folder = g.backend.snapshotFolder(g.id)
	if l.memory != nil { // a fork's is sealed already
		err = seal(l.memory)
	}
	if err := errors.Join(err, snap.keepDisk(ctx)); err != nil {
		return g.lost(l, errors.Join(err, snap.release()))
	}
	g.mutex.Lock()
	g.frozen, g.under, g.state = snap, nil, guest.Frozen
	g.timings["frozen"] = time.Now()
	g.mutex.Unlock()
	return l.host.Frozen()
}

// snapshot stops the guest and keeps its RAM and its devices.
func (l *life) snapshot(ctx context.Context, folder string) (*snapshot, error) {
	snap := &snapshot{machine: l.machine}
	if fork := l.memory == nil; fork {
		state, err := l.saveFork(ctx, folder)
		if err != nil {
			return nil, err
		}
		snap.machine.Bare = true
		snap.devices, snap.memory, snap.patch, snap.changed = state.devices, state.memory, state.patch, state.changed
		return snap, nil
	}
	devices, err := l.save(ctx)
	if err != nil {
		return nil, err
	}
	snap.devices, snap.memory = devices, l.memory
	return snap, nil
}

// lost is a guest that ended and could not be kept: to its VM that is a crash.
func (g *Guest) lost(l *life, err error) error {
	g.mutex.Lock()
	g.under, g.state = nil, guest.Off
	g.mutex.Unlock()
	l.host.Exited(err)
	return err
}
