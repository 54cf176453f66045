package vcenter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vch.dev/e2e/simulator/guest"
)

// fakeBackend has guests that only remember what was done to them.
type fakeBackend struct {
	mutex  sync.Mutex
	hosts  map[string]guest.Host
	cards  map[string][]guest.Card
	ended  []string
	clones int
	refuse error
	during func()      // a clone, if set
	stats  guest.Stats // of all guests
}

type fakeGuest struct {
	backend *fakeBackend
	vm      guest.VM
}

func (b *fakeBackend) Name() string { return "fake" }

func (b *fakeBackend) PowerOn(_ context.Context, vm guest.VM, host guest.Host) (guest.Guest, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.hosts[vm.Name], b.cards[vm.Name] = host, vm.Cards
	return &fakeGuest{b, vm}, nil
}

func (b *fakeBackend) InstantClone(ctx context.Context, _ guest.Guest, vm guest.VM, host guest.Host) (guest.Guest, error) {
	time.Sleep(5 * time.Millisecond) // a clone takes time, and clones take it side by side
	b.mutex.Lock()
	b.clones++
	refuse, during := b.refuse, b.during
	b.mutex.Unlock()
	if during != nil {
		during()
	}
	if refuse != nil {
		return nil, refuse
	}
	return b.PowerOn(ctx, vm, host)
}

func (b *fakeBackend) Close() error { return nil }

func (g *fakeGuest) note(what string) error {
	g.backend.mutex.Lock()
	defer g.backend.mutex.Unlock()
	g.backend.ended = append(g.backend.ended, what+" "+g.vm.Name)
	return nil
}

func (g *fakeGuest) Connect(_ context.Context, cards []guest.Card) error {
	g.backend.mutex.Lock()
	defer g.backend.mutex.Unlock()
	g.backend.cards[g.vm.Name] = cards
	return nil
}

func (g *fakeGuest) PowerOff(context.Context) error { return g.note("off") }
func (g *fakeGuest) Destroy(context.Context) error  { return g.note("destroy") }
func (g *fakeGuest) Reset(context.Context) error    { return g.note("reset") }
func (g *fakeGuest) Stats() (guest.Stats, error) {
	g.backend.mutex.Lock()
	defer g.backend.mutex.Unlock()
	stats := g.backend.stats
	stats.State = "running"
	return stats, nil
}

type lab struct {
	*testing.T
	ctx     context.Context
	backend *fakeBackend
	vcenter *VCenter
	client  *govmomi.Client
	finder  *find.Finder
	parent  *object.VirtualMachine
}

func start(t *testing.T) *lab { return startWith(t, Inventory{}) }

func startWith(t *testing.T, inventory Inventory) *lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	backend := &fakeBackend{hosts: map[string]guest.Host{}, cards: map[string][]guest.Card{}}
	v, err := Start(Config{
		Listen: "127.0.0.1:0", User: "administrator", Password: "secret", StateDir: t.TempDir(),
		Backends: []guest.Backend{backend}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Inventory: inventory,
	})
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	at, _ := url.Parse(v.URL)
	at.User = url.UserPassword("administrator", "secret")
	client, err := govmomi.NewClient(ctx, at, true)
	must(t, err)
	finder := find.NewFinder(client.Client)
	datacenter, err := finder.DefaultDatacenter(ctx)
	must(t, err)
	finder.SetDatacenter(datacenter)
	l := &lab{T: t, ctx: ctx, backend: backend, vcenter: v, client: client, finder: finder}
	l.parent = l.makeParent("parent")
	return l
}

func (l *lab) makeParent(name string) *object.VirtualMachine {
	l.Helper()
	folder, err := l.finder.DefaultFolder(l.ctx)
	must(l.T, err)
	vms, err := l.finder.Folder(l.ctx, "vm")
	if err == nil {
		folder = vms
	}
	pool, err := l.finder.ResourcePool(l.ctx, "DC0_C0/Resources")
	must(l.T, err)
	spec := types.VirtualMachineConfigSpec{
		Name: name, NumCPUs: 1, MemoryMB: 512, GuestId: string(types.VirtualMachineGuestOsIdentifierOtherGuest64),
		Files: &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
		ExtraConfig: []types.BaseOptionValue{
			&types.OptionValue{Key: "sim.guest", Value: "fake"},
			&types.OptionValue{Key: "guestinfo.base", Value: "from the parent"},
		},
		DeviceChange: []types.BaseVirtualDeviceConfigSpec{&types.VirtualDeviceConfigSpec{
			Operation: types.VirtualDeviceConfigSpecOperationAdd,
			Device: &types.VirtualVmxnet3{VirtualVmxnet: types.VirtualVmxnet{VirtualEthernetCard: types.VirtualEthernetCard{
				VirtualDevice: types.VirtualDevice{Key: -1, Backing: &types.VirtualEthernetCardNetworkBackingInfo{
					VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: "VM Network"},
				}},
			}}},
		}},
	}
	created, err := folder.CreateVM(l.ctx, spec, pool, nil)
	must(l.T, err)
	info, err := created.WaitForResult(l.ctx)
	must(l.T, err)
	vm := object.NewVirtualMachine(l.client.Client, info.Result.(types.ManagedObjectReference))
	powered, err := vm.PowerOn(l.ctx)
	must(l.T, err)
	must(l.T, powered.Wait(l.ctx))
	return vm
}

func (l *lab) clone(spec types.VirtualMachineInstantCloneSpec) (*types.TaskInfo, error) {
	called, err := methods.InstantClone_Task(l.ctx, l.client.Client, &types.InstantClone_Task{
		This: l.parent.Reference(), Spec: spec,
	})
	if err != nil {
		return nil, err
	}
	return object.NewTask(l.client.Client, called.Returnval).WaitForResult(l.ctx)
}

func (l *lab) read(vm types.ManagedObjectReference) mo.VirtualMachine {
	l.Helper()
	var seen mo.VirtualMachine
	must(l.T, property.DefaultCollector(l.client.Client).RetrieveOne(l.ctx, vm, nil, &seen))
	return seen
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func options(vm mo.VirtualMachine) map[string]any {
	values := map[string]any{}
	for _, option := range vm.Config.ExtraConfig {
		values[option.GetOptionValue().Key] = option.GetOptionValue().Value
	}
	return values
}

func mac(vm mo.VirtualMachine) string {
	for _, device := range vm.Config.Hardware.Device {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			return card.GetVirtualEthernetCard().MacAddress
		}
	}
	return ""
}

func TestACloneIsItsParentWithAnIdentityOfItsOwn(t *testing.T) {
	l := start(t)
	info, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone", Config: []types.BaseOptionValue{
		&types.OptionValue{Key: "vch.pod.uid", Value: "42"},
	}})
	must(t, err)
	source, clone := l.read(l.parent.Reference()), l.read(info.Result.(types.ManagedObjectReference))
	if clone.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		t.Errorf("power state %s", clone.Runtime.PowerState)
	}
	if *clone.Runtime.Host != *source.Runtime.Host {
		t.Error("the clone is on another host")
	}
	if clone.Config.Uuid == source.Config.Uuid || clone.Config.InstanceUuid == source.Config.InstanceUuid {
		t.Error("the clone has its parent's UUIDs")
	}
	if mac(clone) == mac(source) || mac(clone) == "" {
		t.Errorf("MAC addresses: clone %q, parent %q", mac(clone), mac(source))
	}
	if got := options(clone); got["vch.pod.uid"] != "42" || got["guestinfo.base"] != "from the parent" {
		t.Errorf("extraConfig is not the parent's overlaid with the spec's: %v", got)
	}
	if info.DescriptionId != "VirtualMachine.instantClone" {
		t.Errorf("task %s", info.DescriptionId)
	}
}

func TestPreconditions(t *testing.T) {
	l := start(t)
	must1 := func(_ *types.TaskInfo, err error) { must(t, err) }
	must1(l.clone(types.VirtualMachineInstantCloneSpec{Name: "taken"}))
	host := l.read(l.parent.Reference()).Runtime.Host
	for name, check := range map[string]struct {
		spec  types.VirtualMachineInstantCloneSpec
		fault types.BaseMethodFault
	}{
		"a name in use":        {types.VirtualMachineInstantCloneSpec{Name: "taken"}, &types.DuplicateName{}},
		"no name":              {types.VirtualMachineInstantCloneSpec{}, &types.InvalidArgument{}},
		"a name too long":      {types.VirtualMachineInstantCloneSpec{Name: strings.Repeat("n", 80)}, &types.InvalidName{}},
		"a host, even its own": {types.VirtualMachineInstantCloneSpec{Name: "n", Location: types.VirtualMachineRelocateSpec{Host: host}}, &types.InvalidArgument{}},
		"a pool that is none":  {types.VirtualMachineInstantCloneSpec{Name: "n", Location: types.VirtualMachineRelocateSpec{Pool: host}}, &types.InvalidArgument{}},
	} {
		_, err := l.clone(check.spec)
		failed, ok := err.(task.Error)
		if !ok {
			t.Errorf("%s: %v, not a fault", name, err)
			continue
		}
		if want, got := fmt.Sprintf("%T", check.fault), fmt.Sprintf("%T", failed.Fault()); want != got {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
	off, err := l.parent.PowerOff(l.ctx)
	must(t, err)
	must(t, off.Wait(l.ctx))
	if _, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "cold"}); !fault.Is(err, &types.InvalidState{}) {
		t.Errorf("a source that is off: %v", err)
	}
}

func TestFiftyClonesAtOnceWhileACollectorWatches(t *testing.T) {
	l := start(t)
	watching, stop := context.WithCancel(l.ctx)
	defer stop()
	seen := make(chan string, 1000)
	go func() {
		folder, _ := l.finder.Folder(watching, "vm")
		filter := new(property.WaitFilter).Add(folder.Reference(), "Folder", []string{"childEntity"})
		_ = property.WaitForUpdates(watching, property.DefaultCollector(l.client.Client), filter,
			func([]types.ObjectUpdate) bool { seen <- "update"; return false })
	}()
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if _, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: fmt.Sprint("clone-", i)}); err != nil {
				t.Error(err)
			}
		}()
	}
	wait.Wait()
	vms, err := l.finder.VirtualMachineList(l.ctx, "clone-*")
	must(t, err)
	addresses := map[string]bool{}
	for _, vm := range vms {
		addresses[mac(l.read(vm.Reference()))] = true
	}
	if len(vms) != 50 || len(addresses) != 50 {
		t.Errorf("%d clones with %d MAC addresses", len(vms), len(addresses))
	}
	if len(seen) == 0 {
		t.Error("the collector saw nothing")
	}
}

func TestAFailedCloneIsBackedOut(t *testing.T) {
	l := start(t)
	l.backend.refuse = fmt.Errorf("no memory")
	if _, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"}); err == nil {
		t.Fatal("the clone succeeded")
	}
	l.backend.refuse = nil
	if _, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"}); err != nil {
		t.Errorf("something was left behind: %v", err)
	}
}

func TestWhatTheGuestWritesIsSeenAndReadBack(t *testing.T) {
	l := start(t)
	host := l.backend.hosts["parent"]
	if host.InfoSet("vch.pin", "mine") == nil {
		t.Error("a guest wrote a key that is not guestinfo")
	}
	must(t, host.InfoSet("guestinfo.word", "said"))
	if value, ok := host.InfoGet("guestinfo.word"); !ok || value != "said" {
		t.Errorf("read back %q", value)
	}
	must(t, host.Frozen())
	must(t, property.Wait(l.ctx, property.DefaultCollector(l.client.Client), l.parent.Reference(),
		[]string{"runtime.instantCloneFrozen"}, func(changes []types.PropertyChange) bool {
			return len(changes) > 0 && changes[0].Val == true
		}))
	if got := options(l.read(l.parent.Reference()))["guestinfo.word"]; got != "said" {
		t.Errorf("vSphere shows %v", got)
	}
}

func TestPowerOffAndDestroyEndTheGuest(t *testing.T) {
	l := start(t)
	info, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"})
	must(t, err)
	vm := object.NewVirtualMachine(l.client.Client, info.Result.(types.ManagedObjectReference))
	off, err := vm.PowerOff(l.ctx)
	must(t, err)
	must(t, off.Wait(l.ctx))
	destroyed, err := vm.Destroy(l.ctx)
	must(t, err)
	must(t, destroyed.Wait(l.ctx))
	if got := fmt.Sprint(l.backend.ended); got != "[off clone destroy clone]" {
		t.Errorf("the guest saw %s", got)
	}
}

func TestAGuestThatEndsByItselfPowersItsVMOff(t *testing.T) {
	l := start(t)
	l.backend.hosts["parent"].Exited(fmt.Errorf("crash"))
	must(t, property.Wait(l.ctx, property.DefaultCollector(l.client.Client), l.parent.Reference(),
		[]string{"runtime.powerState"}, func(changes []types.PropertyChange) bool {
			return len(changes) > 0 && changes[0].Val == types.VirtualMachinePowerStatePoweredOff
		}))
}

func TestEveryFaultOfAnInstantCloneCanBeInjected(t *testing.T) {
	l := start(t)
	for _, name := range []string{
		"TaskInProgress", "InvalidState", "InvalidDatastore", "InsufficientResourcesFault", "InsufficientMemoryResourcesFault",
		"InsufficientCpuResourcesFault", "DisallowedMigrationDeviceAttached", "FileFault", "NoDiskSpace", "CannotAccessFile",
		"InvalidArgument", "NotSupported", "DuplicateName", "InvalidName", "SystemError", "NumVirtualCpusExceedsLimit",
		"NoPermission", "NotAuthenticated", "HostNotConnected", "HostCommunication", "ManagedObjectNotFound",
	} {
		_, err := l.vcenter.Faults.Add(Fault{Method: "InstantClone_Task", Fault: name, Count: 1})
		must(t, err)
		_, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"})
		switch found := vimFault(err); {
		case err == nil:
			t.Errorf("%s: no fault", name)
		case found != name:
			t.Errorf("%s: got %s, %v", name, found, err)
		}
	}
	if _, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"}); err != nil {
		t.Errorf("something was left behind: %v", err)
	}
}

// vimFault is the type of a task's or a call's fault.
func vimFault(err error) string {
	var failed task.Error
	if errors.As(err, &failed) {
		return reflect.TypeOf(failed.Fault()).Elem().Name()
	}
	if soap.IsSoapFault(err) {
		return reflect.TypeOf(soap.ToSoapFault(err).VimFault()).Name()
	}
	return ""
}

func TestFaults(t *testing.T) {
	l := start(t)
	exists := func(name string) bool {
		_, err := l.finder.VirtualMachine(l.ctx, name)
		return err == nil
	}
	for _, check := range []struct {
		when string
		left bool
	}{{Before, false}, {After, true}} {
		_, err := l.vcenter.Faults.Add(Fault{Method: "InstantClone_Task", Fault: "SystemError", When: check.when, Count: 1})
		must(t, err)
		name := "clone-" + check.when
		if _, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: name}); err == nil {
			t.Errorf("%s: no fault", check.when)
		}
		for end := time.Now().Add(5 * time.Second); exists(name) != check.left; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s: the VM exists: %v", check.when, !check.left)
				break
			}
		}
	}
	_, err := l.vcenter.Faults.Add(Fault{Method: "InstantClone_Task", When: ReplyLost, Count: 1})
	must(t, err)
	if _, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "lost"}); err == nil {
		t.Error("the reply was not lost")
	}
	for _, wrong := range []Fault{{}, {Method: "Login", When: "soon"}, {Method: "Login", Fault: "NoSuchFault"}} {
		if _, err := l.vcenter.Faults.Add(wrong); err == nil {
			t.Errorf("accepted: %+v", wrong)
		}
	}
	if l.vcenter.Faults.Calls()["InstantClone_Task"] != 3 {
		t.Errorf("counted %v", l.vcenter.Faults.Calls())
	}
}
