package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/lan"
)

// startsWithin: QEMU's own start, on a machine that starts many at once.
const startsWithin = 2 * time.Minute

// life is one run of a guest: a QEMU process from its start to its end.
type life struct {
	machine machine
	taps    []string // of the machine's cards
	host    guest.Host
	request string   // of the guest's, made in its parent's life, to be answered in this one
	memory  *os.File // the RAM, where it is the file itself; else nil
	patch   patch    // of the RAM, where it is a mapping of the file
	process *process
	monitor *monitor
	// wanted is set before we end the process ourselves.
	wanted atomic.Bool
}

// start runs QEMU, with a tap for each card, and returns when the guest runs and
// its cards are as they are told to be. devices is the saved state that it goes
// on from, if any.
func (l *life) start(ctx context.Context, id string, cards []guest.Card, memory *os.File, devices []byte) error {
	ctx, cancel := context.WithTimeout(ctx, startsWithin)
	defer cancel()
	links := l.fit(id, cards)
	var taps []*os.File
	defer func() {
		for _, tap := range taps {
			_ = tap.Close()
		}
	}()
	for i, name := range l.taps {
		tap, err := lan.NewTap(name, portOf(cards, i))
		if err != nil {
			return err
		}
		taps = append(taps, tap.File)
	}
	state, feed, err := os.Pipe()
	if err != nil {
		return err
	}
	defer state.Close()
	l.process, err = spawn(l.machine.arguments(), memory, state, taps)
	if err != nil {
		_ = feed.Close()
		return err
	}
	go func() {
		_, _ = feed.Write(devices) // if QEMU does not take it, it says why
		_ = feed.Close()
	}()
	l.monitor, err = dialMonitor(ctx, l.process.monitor)
	if err == nil {
		err = l.patch.apply(l.process.pid())
	}
	if err == nil && l.machine.Incoming {
		err = l.monitor.load(ctx, inherited.state)
	}
	if err == nil {
		err = l.monitor.untilRunning(ctx)
	}
	if err == nil {
		err = l.setLinks(ctx, links)
	}
	if err != nil {
		l.process.kill()
		return errors.Join(err, l.process.failure())
	}
	return nil
}

// save stops the guest and returns the state of its devices. Its RAM is in the
// memory file, and nothing writes to that any more.
func (l *life) save(ctx context.Context) ([]byte, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	type result struct {
		content []byte
		err     error
	}
	saved := make(chan result, 1)
	go func() {
		content, err := io.ReadAll(read)
		saved <- result{content, err}
	}()
	err = l.monitor.migrate(ctx, write)
	_ = write.Close()
	if err != nil {
		return nil, fmt.Errorf("save the machine's state: %w", err)
	}
	got := <-saved // it ends when QEMU closes its end
	return got.content, got.err
}

// end ends the process, which is then no crash.
func (l *life) end(how func(*process)) {
	l.wanted.Store(true)
	how(l.process)
}
