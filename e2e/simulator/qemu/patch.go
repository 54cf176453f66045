package qemu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// patch is RAM that differs from a memory file's: runs of pages, by their place
// in the file. It does not change once it is made.
type patch struct{ runs []run }

type run struct {
	offset  int64
	content []byte
}

func (p patch) size() (bytes int64) {
	for _, r := range p.runs {
		bytes += int64(len(r.content))
	}
	return bytes
}

// write puts the patch into a file, displaced.
func (p patch) write(to io.WriterAt, displaced int64) error {
	for _, r := range p.runs {
		if _, err := to.WriteAt(r.content, r.offset+displaced); err != nil {
			return err
		}
	}
	return nil
}

// within is the part of the patch that belongs into a mapping.
func (p patch) within(m mapping) (part patch) {
	for _, r := range p.runs {
		first := max(r.offset, m.offset)
		last := min(r.offset+int64(len(r.content)), m.offset+m.end-m.start)
		if first < last {
			part.runs = append(part.runs, run{first, r.content[first-r.offset : last-r.offset]})
		}
	}
	return part
}

// apply writes the patch into a process's private mapping of the memory file.
func (p patch) apply(pid int) error {
	if len(p.runs) == 0 {
		return nil
	}
	mappings, err := memoryMappings(pid)
	if err != nil {
		return err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	for _, m := range mappings {
		if err := p.within(m).write(memory, m.start-m.offset); err != nil {
			return fmt.Errorf("patch RAM: %w", err)
		}
	}
	return nil
}

// readPatch is what a process has changed in its private mapping of a memory
// file. The rest is not read: that would fill holes of the file.
func readPatch(pid int) (patch, error) {
	mappings, err := memoryMappings(pid)
	if err != nil {
		return patch{}, err
	}
	var all patch
	for _, m := range mappings {
		if err := m.changes(pid, &all); err != nil {
			return patch{}, err
		}
	}
	return all, nil
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

func (m mapping) changes(pid int, into *patch) error {
	entries, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err != nil {
		return err
	}
	defer entries.Close()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer memory.Close()
	table := make([]byte, (m.end-m.start)/pageSize*8)
	if _, err := entries.ReadAt(table, m.start/pageSize*8); err != nil {
		return fmt.Errorf("pagemap: %w", err)
	}
	changed := func(page int64) bool { return isChanged(binary.LittleEndian.Uint64(table[page*8:])) }
	pages := int64(len(table)) / 8
	for first := int64(0); first < pages; first++ {
		if !changed(first) {
			continue
		}
		last := first + 1
		for last < pages && changed(last) {
			last++
		}
		r := run{m.offset + first*pageSize, make([]byte, (last-first)*pageSize)}
		if _, err := memory.ReadAt(r.content, m.start+first*pageSize); err != nil {
			return err
		}
		into.runs = append(into.runs, r)
		first = last
	}
	return nil
}
