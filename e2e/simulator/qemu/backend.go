package qemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"vch.dev/e2e/simulator/guest"
)

// Config of a Backend.
type Config struct {
	Image    string // folder made by guest/debian/build.py
	StateDir string // folder for frozen disks; the backend's alone
	Log      *slog.Logger
}

// Backend makes QEMU guests. It implements guest.Backend.
type Backend struct {
	config      Config
	accelerator func() accelerator

	mutex     sync.Mutex
	guests    map[string]*Guest // by VM
	snapshots int
	closed    bool
}

var errClosed = errors.New("the simulator is shutting down")

// New makes a backend. What an earlier one left in the state folder is removed.
func New(config Config) (*Backend, error) {
	for _, name := range []string{imageKernel, imageInitrd, imageDisk} {
		if _, err := os.Stat(filepath.Join(config.Image, name)); err != nil {
			return nil, fmt.Errorf("guest image %s: %w (it is made by guest/debian/build.py)", config.Image, err)
		}
	}
	if err := os.RemoveAll(config.StateDir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.StateDir, 0o700); err != nil {
		return nil, err
	}
	b := &Backend{config: config, guests: map[string]*Guest{}}
	b.accelerator = sync.OnceValue(func() accelerator { return chooseAccelerator(b.image(imageKernel), config.Log) })
	go b.accelerator() // known by the time it is needed
	return b, nil
}

// Files of a guest image.
const (
	imageKernel = "vmlinuz"
	imageInitrd = "initrd.gz"
	imageDisk   = "base.raw"
)

func (b *Backend) image(name string) string { return filepath.Join(b.config.Image, name) }

// Name implements guest.Backend.
func (b *Backend) Name() string { return "qemu" }

// PowerOn implements guest.Backend.
func (b *Backend) PowerOn(ctx context.Context, vm guest.VM, host guest.Host) (guest.Guest, error) {
	g, err := b.guest(vm)
	if err != nil {
		return nil, err
	}
	if err := g.boot(ctx, vm, host); err != nil {
		return nil, fmt.Errorf("power on %s: %w", vm.ID, err)
	}
	return g, nil
}

// InstantClone implements guest.Backend.
func (b *Backend) InstantClone(
	ctx context.Context, src guest.Guest, vm guest.VM, host guest.Host,
) (guest.Guest, error) {
	source, ok := src.(*Guest)
	if !ok {
		return nil, fmt.Errorf("the source of %s is not a qemu guest", vm.ID)
	}
	from := source.cloneable()
	if from == nil {
		return nil, guest.ErrNotFrozen
	}
	g, err := b.guest(vm)
	if err != nil {
		return nil, err
	}
	if err := g.thaw(ctx, from, vm, host); err != nil {
		return nil, errors.Join(fmt.Errorf("instant clone %s: %w", vm.ID, err), g.Destroy(ctx))
	}
	return g, nil
}

// Close implements guest.Backend.
func (b *Backend) Close() error {
	b.mutex.Lock()
	b.closed = true
	guests := make([]*Guest, 0, len(b.guests))
	for _, g := range b.guests {
		guests = append(guests, g)
	}
	b.mutex.Unlock()
	failures := make([]error, len(guests))
	var all sync.WaitGroup
	for i, g := range guests {
		all.Go(func() {
			g.stop((*process).kill)
			failures[i] = g.Destroy(context.Background())
		})
	}
	all.Wait()
	return errors.Join(append(failures, os.RemoveAll(b.config.StateDir))...)
}

// guest is the VM's, made if it has none. A VM keeps it over power cycles.
func (b *Backend) guest(vm guest.VM) (*Guest, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if b.closed {
		return nil, errClosed
	}
	g := b.guests[vm.ID]
	if g == nil {
		g = &Guest{backend: b, id: vm.ID, dir: vm.Dir, state: guest.Off}
		b.guests[vm.ID] = g
	}
	return g, nil
}

func (b *Backend) removed(vm string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	delete(b.guests, vm)
}

// snapshotFolder is a new one for each snapshot: nothing of an older one that
// clones still use is ever written again.
func (b *Backend) snapshotFolder(vm string) string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.snapshots++
	return filepath.Join(b.config.StateDir, fmt.Sprintf("%s-%d", vm, b.snapshots))
}
