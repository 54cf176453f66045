// Package simulated has guests that are nothing but their agent's protocol and
// a kubelet that pretends: thousands of them in this process, for scale and
// faults. They show nothing of containers, networks, images or memory.
//
// A guest costs one goroutine while a provider is connected, and none before.
// All are reached at one port of whatever address the machine has: who routes
// their network to it (ip route add local NETWORK dev lo) need not add their
// addresses one by one.
//
// What guests say is in the packages agent, kubelet and frames below.
package simulated

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/simulated/agent"
	"vch.dev/e2e/simulator/simulated/kubelet"
)

// Config of a Backend.
type Config struct {
	Listen string // host:port at which providers reach all guests
	Log    *slog.Logger
}

// Backend makes simulated guests. It implements guest.Backend.
type Backend struct {
	config Config
	port   *port

	mutex  sync.Mutex
	guests map[string]*Guest // by VM
	usual  kubelet.Script
	pools  map[string]*x509.CertPool // by what they were read from: clones of one VCH have the same
	closed bool
}

var errClosed = errors.New("the simulator is shutting down")

// New makes a backend that listens.
func New(config Config) (*Backend, error) {
	b := &Backend{config: config, guests: map[string]*Guest{}, pools: map[string]*x509.CertPool{}}
	var err error
	b.port, err = listen(config.Listen, config.Log)
	return b, err
}

// Name implements guest.Backend.
func (b *Backend) Name() string { return "simulated" }

// PowerOn implements guest.Backend.
func (b *Backend) PowerOn(_ context.Context, vm guest.VM, host guest.Host) (guest.Guest, error) {
	g, err := b.guest(vm)
	if err != nil {
		return nil, err
	}
	g.start(vm, host)
	return g, nil
}

// InstantClone implements guest.Backend.
func (b *Backend) InstantClone(
	_ context.Context, src guest.Guest, vm guest.VM, host guest.Host,
) (guest.Guest, error) {
	source, ok := src.(*Guest)
	if !ok {
		return nil, fmt.Errorf("the source of %s is not a simulated guest", vm.ID)
	}
	if !source.frozen() {
		return nil, guest.ErrNotFrozen
	}
	g, err := b.guest(vm)
	if err != nil {
		return nil, err
	}
	g.start(vm, host)
	return g, nil
}

// Close implements guest.Backend.
func (b *Backend) Close() error {
	for _, g := range b.all(true) {
		_ = g.Destroy(context.Background())
	}
	return b.port.close()
}

// Follow implements guest.Scripted, for all guests: those that are there, and
// those to come.
func (b *Backend) Follow(text []byte) error {
	script, err := kubelet.Script{}.Over(text)
	if err != nil {
		return err
	}
	b.mutex.Lock()
	b.usual = script
	b.mutex.Unlock()
	for _, g := range b.all(false) {
		g.follow(script)
	}
	return nil
}

func (b *Backend) all(closing bool) []*Guest {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.closed = b.closed || closing
	guests := make([]*Guest, 0, len(b.guests))
	for _, g := range b.guests {
		guests = append(guests, g)
	}
	return guests
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
		g = &Guest{backend: b, id: vm.ID, state: guest.Off, script: b.usual}
		b.guests[vm.ID] = g
	}
	return g, nil
}

func (b *Backend) removed(vm string) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	delete(b.guests, vm)
}

func (b *Backend) pool(pem string) (*x509.CertPool, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if pool := b.pools[pem]; pool != nil {
		return pool, nil
	}
	pool, err := agent.ClientCAs(pem)
	if err == nil {
		b.pools[pem] = pool
	}
	return pool, err
}
