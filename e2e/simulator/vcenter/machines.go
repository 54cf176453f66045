package vcenter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/lan"
)

var errClosed = errors.New("the simulator is ending")

// Machines ties the life of VMs to guests: it implements simulator.VMGuests.
type Machines struct {
	backends map[string]guest.Backend
	stateDir string
	bridges  map[string]PortGroup
	ctx      *simulator.Context
	info     *infoStore
	log      *slog.Logger

	working context.Context // ends with Close
	stop    context.CancelFunc
	starts  sync.WaitGroup // guests that are being started

	mutex  sync.Mutex
	all    map[types.ManagedObjectReference]*machine
	closed bool
}

func newMachines(config Config, ctx *simulator.Context, info *infoStore) *Machines {
	machines := &Machines{
		backends: map[string]guest.Backend{},
		stateDir: config.StateDir,
		bridges:  map[string]PortGroup{},
		ctx:      ctx,
		info:     info,
		log:      config.Log,
		all:      map[types.ManagedObjectReference]*machine{},
	}
	machines.working, machines.stop = context.WithCancel(context.Background())
	for _, group := range config.PortGroups {
		machines.bridges[group.Name] = group
	}
	for _, backend := range config.Backends {
		machines.backends[backend.Name()] = backend
	}
	return machines
}

// PowerOn implements simulator.VMGuests.
func (m *Machines) PowerOn(vm simulator.GuestVM) error {
	if vm.Kind == "" || vm.Kind == simulator.NoGuest {
		return nil
	}
	entry, err := m.entry(vm, "")
	if err != nil {
		return err
	}
	return m.start(entry, vm.Ref, func(described guest.VM, host *host) (guest.Guest, error) {
		return entry.backend.PowerOn(m.working, described, host)
	})
}

// InstantClone implements simulator.VMGuests.
func (m *Machines) InstantClone(source types.ManagedObjectReference, vm simulator.GuestVM) types.BaseMethodFault {
	err := m.instantClone(source, vm)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, guest.ErrNotFrozen):
		return new(types.NotSupported)
	}
	m.log.Warn("instant clone failed", "source", source.Value, "vm", vm.Name, "error", err)
	return simulator.SystemError(err)
}

func (m *Machines) instantClone(source types.ManagedObjectReference, vm simulator.GuestVM) error {
	from := m.find(source)
	if from == nil {
		return fmt.Errorf("VM %s has no guest to clone", source.Value)
	}
	original, running := from.current()
	if !running {
		return fmt.Errorf("the guest of VM %s is off", source.Value)
	}
	entry, err := m.entry(vm, source.Value)
	if err != nil {
		return err
	}
	return m.start(entry, vm.Ref, func(described guest.VM, host *host) (guest.Guest, error) {
		return entry.backend.InstantClone(m.working, original, described, host)
	})
}

// PowerOff implements simulator.VMGuests.
func (m *Machines) PowerOff(ref types.ManagedObjectReference) error {
	entry := m.find(ref)
	if entry == nil {
		return nil
	}
	entry.operation.Lock()
	defer entry.operation.Unlock()
	return entry.end(func(ctx context.Context, current guest.Guest) error { return current.PowerOff(ctx) })
}

// Reset implements simulator.VMGuests.
func (m *Machines) Reset(vm simulator.GuestVM) error {
	entry := m.find(vm.Ref)
	if entry == nil {
		return m.PowerOn(vm)
	}
	entry.operation.Lock()
	defer entry.operation.Unlock()
	current, running := entry.current()
	if !running {
		return fmt.Errorf("the guest of VM %s is off", vm.Ref.Value)
	}
	return current.Reset(m.working)
}

// Connect implements simulator.VMGuests.
func (m *Machines) Connect(vm simulator.GuestVM) error {
	entry := m.find(vm.Ref)
	if entry == nil {
		return nil
	}
	entry.operation.Lock()
	defer entry.operation.Unlock()
	cards := m.cards(vm)
	entry.mutex.Lock()
	entry.vm.Cards = cards
	entry.mutex.Unlock()
	current, running := entry.current()
	if !running {
		return nil
	}
	ctx, cancel := context.WithTimeout(m.working, connectTimeout)
	defer cancel()
	return current.Connect(ctx, cards)
}

// cards are a VM's, in the ports of the bridges that stand for their port
// groups.
func (m *Machines) cards(vm simulator.GuestVM) []guest.Card {
	cards := make([]guest.Card, len(vm.Cards))
	for i, card := range vm.Cards {
		group := m.bridges[card.PortGroup]
		cards[i] = guest.Card{MAC: card.MAC, Port: lan.Port{
			Bridge: group.Bridge, Isolated: group.Isolated, Connected: card.Connected,
		}}
	}
	return cards
}

// Remove implements simulator.VMGuests.
func (m *Machines) Remove(ref types.ManagedObjectReference) error {
	entry := m.find(ref)
	if entry == nil {
		return nil
	}
	entry.operation.Lock()
	defer entry.operation.Unlock()
	err := entry.end(func(ctx context.Context, current guest.Guest) error { return current.Destroy(ctx) })
	if err != nil {
		return err
	}
	m.mutex.Lock()
	delete(m.all, ref)
	m.mutex.Unlock()
	return os.RemoveAll(entry.vm.Dir)
}

// Close ends every guest and removes what they left.
func (m *Machines) Close() error {
	m.mutex.Lock()
	m.closed = true
	m.mutex.Unlock()
	m.stop()
	m.starts.Wait() // what starts now would otherwise be left behind
	failures := make(chan error, len(m.backends))
	for name, backend := range m.backends {
		go func() {
			err := backend.Close()
			if err != nil {
				err = fmt.Errorf("%s guests: %w", name, err)
			}
			failures <- err
		}()
	}
	var failed []error
	for range m.backends {
		failed = append(failed, <-failures)
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return os.RemoveAll(m.stateDir)
}

func (m *Machines) find(ref types.ManagedObjectReference) *machine {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return m.all[ref]
}

// entry finds or makes the machine of a VM, as the VM is now.
func (m *Machines) entry(vm simulator.GuestVM, source string) (*machine, error) {
	backend, ok := m.backends[vm.Kind]
	if !ok {
		return nil, fmt.Errorf("extraConfig %s=%s: there is no such guest here, only: %s",
			simulator.GuestOptionKey, vm.Kind, strings.Join(slices.Sorted(maps.Keys(m.backends)), ", "))
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	entry := m.all[vm.Ref]
	if entry == nil {
		entry = &machine{source: source, backend: backend}
		m.all[vm.Ref] = entry
	}
	entry.mutex.Lock()
	defer entry.mutex.Unlock()
	entry.vm = guest.VM{
		ID: vm.Ref.Value, Name: vm.Name, CPUs: vm.CPUs, MemoryMB: vm.MemoryMB, Cards: m.cards(vm),
		Dir: filepath.Join(m.stateDir, vm.Ref.Value),
	}
	return entry, nil
}

func (m *Machines) start(
	entry *machine, ref types.ManagedObjectReference, begin func(vm guest.VM, host *host) (guest.Guest, error),
) error {
	m.mutex.Lock()
	if m.closed {
		m.mutex.Unlock()
		return errClosed
	}
	m.starts.Add(1)
	m.mutex.Unlock()
	defer m.starts.Done()
	entry.operation.Lock()
	defer entry.operation.Unlock()
	if entry.crashed() { // what it left is removed first
		err := entry.end(func(ctx context.Context, crashed guest.Guest) error { return crashed.PowerOff(ctx) })
		if err != nil {
			return err
		}
	}
	entry.mutex.Lock()
	host := &host{ref: ref, ctx: m.ctx, info: m.info, log: m.log}
	entry.host, entry.times = host, map[string]time.Time{"asked": time.Now()}
	described := entry.vm
	entry.mutex.Unlock()
	if err := os.MkdirAll(described.Dir, 0o700); err != nil {
		return err
	}
	started, err := begin(described, host)
	if err != nil {
		host.end()
		return err
	}
	entry.mutex.Lock()
	defer entry.mutex.Unlock()
	entry.guest = started
	entry.times["started"] = time.Now()
	return nil
}
