package native

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	mountTable = "/proc/self/mountinfo"
	// services is where init and what it supervises is, beside the kubelet's
	// cgroups: in version 2 a cgroup has either processes or children.
	services = "services"
	// emptiesWithin bounds the kernel's own clearing up after a process' end.
	emptiesWithin = 10 * time.Second
)

// cgroup is one guest's, in every hierarchy of the machine (version 1 has one
// for each controller).
type cgroup struct {
	name string
}

// hierarchies are the mount points, version 2's last.
func hierarchies() ([]string, error) {
	table, err := os.ReadFile(mountTable)
	if err != nil {
		return nil, err
	}
	var first, second []string
	lines := bufio.NewScanner(bytes.NewReader(table))
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		switch kind, _, _ := strings.Cut(after, " "); kind {
		case "cgroup":
			first = append(first, fields[4])
		case "cgroup2":
			second = append(second, fields[4])
		}
	}
	if len(first)+len(second) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted below /sys/fs/cgroup")
	}
	return append(first, second...), lines.Err()
}

func (c cgroup) create() error {
	mounts, err := hierarchies()
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		folder := filepath.Join(mount, c.name)
		enableControllers(mount)
		if err := errors.Join(makeCgroup(folder), makeCgroup(filepath.Join(folder, services))); err != nil {
			return err
		}
		enableControllers(folder)
	}
	return nil
}

// makeCgroup makes one, with its parent's processors: version 1's cpuset begins
// empty, and takes no process then.
func makeCgroup(folder string) error {
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		above, err := os.ReadFile(filepath.Join(filepath.Dir(folder), name))
		if err != nil || len(bytes.TrimSpace(above)) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(folder, name), above, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// enableControllers lets children of a version 2 cgroup have what it has; where
// something else holds a controller it stays without.
func enableControllers(folder string) {
	available, err := os.ReadFile(filepath.Join(folder, "cgroup.controllers"))
	if err != nil {
		return // version 1
	}
	for _, name := range strings.Fields(string(available)) {
		_ = os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+"+name), 0o644)
	}
}

func (c cgroup) enter(pid int) error {
	mounts, err := hierarchies()
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		file := filepath.Join(mount, c.name, services, "cgroup.procs")
		if err := os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return nil
}

// processes of the guest, as seen from outside.
func (c cgroup) processes() []int {
	mounts, err := hierarchies()
	if err != nil {
		return nil
	}
	var found []int
	for _, mount := range mounts {
		_ = filepath.WalkDir(filepath.Join(mount, c.name), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return nil
			}
			text, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil {
					found = append(found, pid)
				}
			}
			return nil
		})
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// remove deletes it everywhere. The kernel takes a moment to let go of the
// processes that were in it, and tells nobody.
func (c cgroup) remove() error {
	mounts, err := hierarchies()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(emptiesWithin)
	for _, mount := range mounts {
		for {
			err := removeTree(filepath.Join(mount, c.name))
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// removeTree removes a cgroup and those below it; the files in it go with it.
func removeTree(folder string) error {
	var folders []string
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		return nil
	})
	for _, each := range slices.Backward(folders) {
		if err := syscall.Rmdir(each); err != nil && !errors.Is(err, syscall.ENOENT) {
			return fmt.Errorf("remove cgroup %s: %w", each, err)
		}
	}
	return nil
}
