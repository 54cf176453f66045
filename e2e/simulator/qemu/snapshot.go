package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

const (
	frozenDisk = "disk.qcow2"
	emptyLayer = "empty.qcow2"
)

// snapshot is a machine at its freeze point. Nothing of it changes any more.
//
// Its RAM and device state are there as long as it can be cloned; its disk as
// long as any disk lies on it.
type snapshot struct {
	machine machine
	freeze  string // ID of the guest's request that is still to be answered
	devices []byte
	memory  *os.File // sealed; nil when the snapshot cannot be cloned any more
	patch   patch    // what a fork has that the memory, its base's, has not
	folder  string
	under   *snapshot // whose disk this one's lies on
	changed int64     // bytes of RAM that are not as its base's; 0: it has none

	mutex sync.Mutex
	users int
}

var errSnapshotGone = errors.New("the frozen guest was powered off or destroyed")

// keepDisk moves the machine's disk to where it is never written again.
func (s *snapshot) keepDisk(ctx context.Context) error {
	err := os.MkdirAll(s.folder, 0o700)
	if err == nil {
		err = os.Rename(s.machine.Disk, s.disk())
	}
	if err == nil {
		err = os.Chmod(s.disk(), 0o400)
	}
	if err == nil {
		err = newLayer(ctx, filepath.Join(s.folder, emptyLayer), s.disk(), "qcow2")
	}
	if err != nil {
		return fmt.Errorf("keep the frozen disk: %w", err)
	}
	return nil
}

func (s *snapshot) disk() string { return filepath.Join(s.folder, frozenDisk) }

// newLayer makes a disk layer over the frozen disk, for whoever uses the
// snapshot.
func (s *snapshot) newLayer(path string) error {
	return copyLayer(path, filepath.Join(s.folder, emptyLayer))
}

// use keeps the disk until release.
func (s *snapshot) use() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.users++
}

// release ends one use; the last one removes the files.
func (s *snapshot) release() error {
	s.mutex.Lock()
	s.users--
	last := s.users == 0
	s.mutex.Unlock()
	if !last {
		return nil
	}
	s.forget()
	err := os.RemoveAll(s.folder)
	if s.under != nil {
		err = errors.Join(err, s.under.release())
	}
	return err
}

// lend gives a clone to be started what it starts from. The clone uses the
// snapshot from then on; the memory file is the caller's to close.
func (s *snapshot) lend() (memory *os.File, devices []byte, changes patch, err error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.memory == nil {
		return nil, nil, patch{}, errSnapshotGone
	}
	// A description of its own: it stays open when the snapshot's is closed.
	memory, err = os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", s.memory.Fd()), os.O_RDWR, 0)
	if err != nil {
		return nil, nil, patch{}, err
	}
	s.users++
	return memory, s.devices, s.patch, nil
}

// forget drops what only new clones would need. Clones that run keep the memory
// by their own mappings.
func (s *snapshot) forget() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.memory != nil {
		_ = s.memory.Close()
		s.memory, s.devices, s.patch = nil, nil, patch{}
	}
}

// held is how much RAM the snapshot takes, in bytes.
func (s *snapshot) held() int64 {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch {
	case s.memory == nil:
		return 0
	case s.patch.size() > 0: // the memory is counted where it is from
		return s.patch.size()
	}
	return held(s.memory)
}
