package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A clone that freezes again is a fork: a parent made from a parent.
//
// Its disk is one more layer over its base's: all that it has not changed is
// shared. QEMU maps one file as RAM, and Linux has no file whose pages are
// another file's where they are equal, so that RAM cannot be layered like that.
// It is shared in the way that costs less:
//
//   - A fork that has changed little keeps its base's memory file, sealed as that
//     is, and the pages that it changed beside it, as a patch. A clone of it maps
//     the file as its base's clones do, and gets the patch written into its
//     private mapping before it runs: that much more is its own.
//   - A fork that has changed much gets a memory file of its own, into which what
//     it shared is copied once. Its clones share that among each other, and
//     nothing with the base's.
//
// Either way guest.Stats.ChangedBytes of the fork is what differs from the base
// (the first one, for a fork of a fork with a patch): a hypervisor that can lay
// memory over memory, as vSphere's does, would hold no more than that for it.

const (
	stateName = "devices.state"
	pageSize  = 4 << 10
	copyStep  = 1 << 20
)

// patchShare: a patch is at most this part of what the base holds. With as many
// clones of the fork both ways cost the same.
var patchShare = int64(16)

// forkState is what a clone is frozen as.
type forkState struct {
	devices []byte
	memory  *os.File
	patch   patch // empty: the memory is the fork's own
	changed int64
}

// saveFork stops a clone and returns its state.
func (l *life) saveFork(ctx context.Context, folder string) (state forkState, err error) {
	path := filepath.Join(folder, stateName)
	defer os.Remove(path)
	if err := l.monitor.saveDevices(ctx, path); err != nil {
		return state, fmt.Errorf("save the machine's state: %w", err)
	}
	defer func() {
		if err != nil { // it stopped for this
			_, resumed := l.monitor.run(ctx, "cont", nil)
			err = errors.Join(err, resumed)
		}
	}()
	if state.devices, err = os.ReadFile(path); err != nil {
		return state, err
	}
	pid := l.process.pid()
	base, err := os.Open(fmt.Sprintf("/proc/%d/fd/%d", pid, inherited.memory))
	if err != nil {
		return state, err
	}
	changes, err := readPatch(pid)
	if err != nil {
		return state, errors.Join(fmt.Errorf("read the clone's RAM: %w", err), base.Close())
	}
	state.changed = changes.size()
	if changes.size()*patchShare <= held(base) {
		state.memory, state.patch = base, changes
		return state, nil
	}
	defer base.Close()
	if state.memory, err = newMemory(l.machine.MemoryMB); err != nil {
		return state, err
	}
	err = copyData(base, state.memory)
	if err == nil {
		err = changes.write(state.memory, 0)
	}
	if err == nil {
		err = seal(state.memory)
	}
	if err != nil {
		return state, errors.Join(fmt.Errorf("copy the clone's RAM: %w", err), state.memory.Close())
	}
	return state, nil
}

// copyData copies a sparse file and leaves it sparse.
func copyData(from, to *os.File) error {
	buffer, zeros := make([]byte, copyStep), make([]byte, pageSize)
	for end := int64(0); ; {
		start, err := unix.Seek(int(from.Fd()), end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // no more
		}
		if err == nil {
			end, err = unix.Seek(int(from.Fd()), start, unix.SEEK_HOLE)
		}
		if err != nil {
			return err
		}
		for at := start; at < end; {
			n, err := from.ReadAt(buffer[:min(copyStep, end-at)], at)
			if err != nil && err != io.EOF {
				return err
			}
			for page := 0; page < n; page += pageSize {
				content := buffer[page:min(page+pageSize, n)]
				if bytes.Equal(content, zeros[:len(content)]) {
					continue
				}
				if _, err := to.WriteAt(content, at+int64(page)); err != nil {
					return err
				}
			}
			at += int64(n)
		}
	}
}
