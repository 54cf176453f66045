package qemu

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A clone that freezes again is a fork: a parent made from a parent.
//
// Its disk is one more layer over its base's: all that it has not changed is
// shared. Its RAM is not. QEMU maps one file as RAM, and Linux has no file whose
// pages are another file's where they are equal, so that the fork gets a memory
// file of its own: what it shared with its base is copied into that once, when
// it freezes. Its clones share that file as those of any parent do. How much of
// it the fork has really changed is counted (guest.Stats.ChangedBytes): a
// hypervisor that can lay memory over memory, as vSphere's does, would hold no
// more than that.

const (
	stateName = "devices.state"
	pageSize  = 4 << 10
	copyStep  = 1 << 20
)

// saveFork stops a clone and returns the state of its devices and a memory file
// of its own, with how much of it differs from its base's.
func (l *life) saveFork(ctx context.Context, folder string) (devices []byte, memory *os.File, changed int64, err error) {
	path := filepath.Join(folder, stateName)
	defer os.Remove(path)
	if err := l.monitor.saveDevices(ctx, path); err != nil {
		return nil, nil, 0, fmt.Errorf("save the machine's state: %w", err)
	}
	if devices, err = os.ReadFile(path); err != nil {
		return nil, nil, 0, err
	}
	if memory, err = newMemory(l.machine.MemoryMB); err != nil {
		return nil, nil, 0, err
	}
	if changed, err = copyMemory(l.process.pid(), memory); err != nil {
		return nil, nil, 0, errors.Join(fmt.Errorf("copy the clone's RAM: %w", err), memory.Close())
	}
	return devices, memory, changed, nil
}

// copyMemory writes what a clone's process has as RAM. Its private mapping is
// not read where nothing was changed: that would fill holes of the base.
func copyMemory(pid int, to *os.File) (changed int64, err error) {
	base, err := os.Open(fmt.Sprintf("/proc/%d/fd/%d", pid, inherited.memory))
	if err != nil {
		return 0, err
	}
	defer base.Close()
	if err := copyData(base, to); err != nil {
		return 0, err
	}
	mappings, err := memoryMappings(pid)
	if err != nil {
		return 0, err
	}
	for _, mapped := range mappings {
		pages, err := mapped.copyChanged(pid, to)
		if err != nil {
			return 0, err
		}
		changed += pages * pageSize
	}
	return changed, nil
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

// mapping is a part of RAM in a process.
type mapping struct{ start, end, offset int64 }

func memoryMappings(pid int) ([]mapping, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	found := parseMappings(string(text))
	if len(found) == 0 {
		return nil, errors.New("the process does not map its guest's RAM")
	}
	return found, nil
}

// parseMappings reads lines like "7f00-7f10 rw-p 00001000 00:01 42 /memfd:...".
func parseMappings(text string) (found []mapping) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 6 || !strings.HasPrefix(fields[5], "/memfd:"+memoryName) {
			continue
		}
		start, end, _ := strings.Cut(fields[0], "-")
		var m mapping
		m.start, _ = strconv.ParseInt(start, 16, 64)
		m.end, _ = strconv.ParseInt(end, 16, 64)
		m.offset, _ = strconv.ParseInt(fields[2], 16, 64)
		found = append(found, m)
	}
	return found
}

// Bits of an entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst).
const (
	pagePresent = 1 << 63
	pageSwapped = 1 << 62
	pageOfFile  = 1 << 61
)

// isChanged tells whether a page of a private mapping is a copy that was made
// when it was written to.
func isChanged(entry uint64) bool {
	return entry&pageSwapped != 0 || entry&pagePresent != 0 && entry&pageOfFile == 0
}

func (m mapping) copyChanged(pid int, to *os.File) (pages int64, err error) {
	entries, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		return 0, err
	}
	defer entries.Close()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return 0, err
	}
	defer memory.Close()
	table := make([]byte, (m.end-m.start)/pageSize*8)
	if _, err := entries.ReadAt(table, m.start/pageSize*8); err != nil {
		return 0, fmt.Errorf("pagemap: %w", err)
	}
	page := make([]byte, pageSize)
	for i := int64(0); i < int64(len(table))/8; i++ {
		if !isChanged(binary.LittleEndian.Uint64(table[i*8:])) {
			continue
		}
		if _, err := memory.ReadAt(page, m.start+i*pageSize); err != nil {
			return 0, err
		}
		if _, err := to.WriteAt(page, m.offset+i*pageSize); err != nil {
			return 0, err
		}
		pages++
	}
	return pages, nil
}
