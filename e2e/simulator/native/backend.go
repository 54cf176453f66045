package native

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
	Image   string // folder made by guest/native/build.py
	Cgroups string // how the guests' cgroups are called, before the VM's ID
	Log     *slog.Logger
}

// Backend makes native guests. It implements guest.Backend.
type Backend struct {
	config Config

	mutex  sync.Mutex
	guests map[string]*Guest // by VM
	closed bool
}

var errClosed = errors.New("the simulator is shutting down")

// New makes a backend.
func New(config Config) (*Backend, error) {
	for _, name := range []string{imageKubelet, imageProxy, imageRPCTool, imageAgent, imageContainerd, imageStore} {
		if _, err := os.Stat(filepath.Join(config.Image, name)); err != nil {
			return nil, fmt.Errorf("guest image %s: %w (it is made by guest/native/build.py)", config.Image, err)
		}
	}
	return &Backend{config: config, guests: map[string]*Guest{}}, nil
}

// Name implements guest.Backend.
func (b *Backend) Name() string { return "native" }

// PowerOn implements guest.Backend.
func (b *Backend) PowerOn(_ context.Context, vm guest.VM, host guest.Host) (guest.Guest, error) {
	g, err := b.guest(vm)
	if err != nil {
		return nil, err
	}
	if err := g.start(vm, host, isClone(host), nil); err != nil {
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
		return nil, fmt.Errorf("the source of %s is not a native guest", vm.ID)
	}
	if !source.frozen() {
		return nil, guest.ErrNotFrozen
	}
	g, err := b.guest(vm)
	if err != nil {
		return nil, err
	}
	if err := g.start(vm, host, !source.isFork(host), source); err != nil {
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
		all.Go(func() { failures[i] = g.Destroy(context.Background()) })
	}
	all.Wait()
	return errors.Join(failures...)
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
