package vcenter

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

func (l *lab) modes(over string) {
	l.Helper()
	_, err := l.vcenter.Site.ChangeModes([]byte(over))
	must(l.T, err)
}

func TestLocationIsAllowedRejectedOrIgnored(t *testing.T) {
	l := startWith(t, Inventory{Hosts: 2, Datastores: 2})
	pool, err := l.rootPool().Create(l.ctx, "vch", types.DefaultResourceConfigSpec())
	must(t, err)
	folder, err := l.vmFolder().CreateFolder(l.ctx, "vch")
	must(t, err)
	datastore, host := l.datastore("LocalDS_1"), l.hostOf(l.parent.Reference())
	everything := types.VirtualMachineRelocateSpec{
		Pool: types.NewReference(pool.Reference()), Folder: types.NewReference(folder.Reference()),
		Datastore: &datastore, Host: &host,
	}
	_, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "rejected", Location: everything})
	fails[*types.InvalidArgument](t, err, "reject")

	l.modes(`{"location": "allow"}`)
	info, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "allowed", Location: everything})
	must(t, err)
	vm := l.read(info.Result.(types.ManagedObjectReference))
	if *vm.ResourcePool != pool.Reference() || *vm.Parent != folder.Reference() || vm.Datastore[0] != datastore {
		t.Errorf("allow: in %s, %s, on %v", vm.ResourcePool.Value, vm.Parent.Value, vm.Datastore)
	}
	nowhere := types.ManagedObjectReference{Type: "Datastore", Value: "datastore-none"}
	_, err = l.clone(types.VirtualMachineInstantCloneSpec{
		Name: "lost", Location: types.VirtualMachineRelocateSpec{Datastore: &nowhere},
	})
	fails[*types.InvalidDatastore](t, err, "allow, a datastore that is not there")
	for _, other := range l.vcenter.Site.Hosts() {
		if other.ID != host.Value {
			elsewhere := types.ManagedObjectReference{Type: "HostSystem", Value: other.ID}
			_, err = l.clone(types.VirtualMachineInstantCloneSpec{
				Name: "lost", Location: types.VirtualMachineRelocateSpec{Host: &elsewhere},
			})
			fails[*types.InvalidArgument](t, err, "allow, another host")
		}
	}

	l.modes(`{"location": "ignore"}`)
	info, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "ignored", Location: everything})
	must(t, err)
	vm = l.read(info.Result.(types.ManagedObjectReference))
	if *vm.ResourcePool == pool.Reference() || *vm.Parent == folder.Reference() || vm.Datastore[0] == datastore {
		t.Errorf("ignore: in %s, %s, on %v", vm.ResourcePool.Value, vm.Parent.Value, vm.Datastore)
	}
}

func TestPreconditionsOfAnInstantClone(t *testing.T) {
	l := start(t)
	for name, expected := range map[string]func(error){
		"":                      func(err error) { fails[*types.InvalidArgument](t, err, "no name") },
		strings.Repeat("x", 80): func(err error) { fails[*types.InvalidName](t, err, "a long name") },
		"a/b":                   func(err error) { fails[*types.InvalidName](t, err, "a slash") },
		"a%b":                   func(err error) { fails[*types.InvalidName](t, err, "a percent sign") },
		"parent":                func(err error) { fails[*types.DuplicateName](t, err, "a name that is taken") },
	} {
		_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: name})
		expected(err)
	}
	l.modes(`{"hostVMs": 1}`)
	_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"})
	fails[*types.InsufficientResourcesFault](t, err, "too many VMs on the host")
	l.powerOff(l.parent.Reference())
	_, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"})
	fails[*types.InvalidState](t, err, "the source is off")
	l.modes(`{"sourceOff": "InvalidArgument"}`)
	_, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"})
	fails[*types.InvalidArgument](t, err, "the source is off")
}

func TestARunningSourceCanBeClonedSoOftenOnly(t *testing.T) {
	l := start(t)
	l.modes(`{"deltaDepth": 2}`)
	l.made("one")
	l.made("two")
	_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "three"})
	if refused := fails[*types.SystemError](t, err, "too deep"); refused != nil {
		cause, ok := refused.FaultCause.Fault.(*types.GenericVmConfigFault)
		if !ok || len(cause.FaultMessage) != 1 || cause.FaultMessage[0].Key != "msg.migrate.prepare.failed" {
			t.Errorf("its cause is %+v", refused.FaultCause)
		}
	}
	must(t, l.backend.hosts["parent"].Frozen())
	l.until(l.parent.Reference(), "runtime.instantCloneFrozen", is(true))
	l.made("four") // of a frozen one there is no end
}

func TestAnInstantCloneTakesItsTime(t *testing.T) {
	l := start(t)
	l.modes(`{"exclusiveMs": 30, "parallelMs": 100}`)
	began := time.Now()
	done := make(chan error)
	for i := range 3 {
		go func() {
			_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: fmt.Sprint("clone-", i)})
			done <- err
		}()
	}
	for range 3 {
		must(t, <-done)
	}
	if took := time.Since(began); took < 190*time.Millisecond {
		t.Errorf("3 clones took %v: 3 exclusive times and 1 parallel one are 190 ms", took)
	}
}

func TestTasksBeyondALimitAreQueued(t *testing.T) {
	l := start(t)
	l.modes(`{"tasks": 1, "parallelMs": 200}`)
	call := func(name string) *object.Task {
		called, err := methods.InstantClone_Task(l.ctx, l.client.Client, &types.InstantClone_Task{
			This: l.parent.Reference(), Spec: types.VirtualMachineInstantCloneSpec{Name: name},
		})
		must(t, err)
		return object.NewTask(l.client.Client, called.Returnval)
	}
	first, second := call("one"), call("two")
	var seen mo.Task
	must(t, property.DefaultCollector(l.client.Client).RetrieveOne(l.ctx, second.Reference(), []string{"info.state"}, &seen))
	if seen.Info.State != types.TaskInfoStateQueued {
		t.Errorf("the second one is %s", seen.Info.State)
	}
	must(t, first.Wait(l.ctx))
	must(t, second.Wait(l.ctx))
}

func TestEventsCannotBeReliedOn(t *testing.T) {
	l := start(t)
	if kinds := l.events(l.made("full")); kinds["VmClonedEvent"] != 1 || kinds["VmPoweredOnEvent"] != 1 {
		t.Errorf("full: %v", kinds)
	}
	l.modes(`{"events": "none"}`)
	if kinds := l.events(l.made("none")); len(kinds) != 0 {
		t.Errorf("none: %v", kinds)
	}
	l.modes(`{"events": "duplicated"}`)
	if kinds := l.events(l.made("duplicated")); kinds["VmClonedEvent"] != 2 || kinds["VmPoweredOnEvent"] != 2 {
		t.Errorf("duplicated: %v", kinds)
	}
	l.modes(`{"events": "reordered"}`)
	clone := l.made("reordered")
	l.eventually("no event is lost", func() bool {
		kinds := l.events(clone)
		return kinds["VmClonedEvent"] == 1 && kinds["VmPoweredOnEvent"] == 1 && kinds["VmCreatedEvent"] == 1
	})
}

func TestACollectorRefusesAVersionThatItNeverGave(t *testing.T) {
	l := start(t)
	collector, err := property.DefaultCollector(l.client.Client).Create(l.ctx)
	must(t, err)
	_, err = methods.WaitForUpdatesEx(l.ctx, l.client.Client, &types.WaitForUpdatesEx{
		This: collector.Reference(), Version: "4711",
	})
	if err == nil || !soap.IsSoapFault(err) {
		t.Fatalf("got %v", err)
	}
	if _, ok := soap.ToSoapFault(err).VimFault().(types.InvalidCollectorVersion); !ok {
		t.Errorf("got %T", soap.ToSoapFault(err).VimFault())
	}
}

func TestModesHaveToMakeSense(t *testing.T) {
	l := start(t)
	for _, wrong := range []string{`{"location": "somewhere"}`, `{"hostVMs": -1}`, `{"nonsense": 1}`, `[]`, `{"tasks": 0}`} {
		if _, err := l.vcenter.Site.ChangeModes([]byte(wrong)); err == nil {
			t.Errorf("accepted: %s", wrong)
		}
	}
	if simulator.CurrentModes() != simulator.DefaultModes() {
		t.Errorf("%+v", simulator.CurrentModes())
	}
	l.modes(`{"events": "none"}`)
	l.vcenter.Site.ResetModes()
	if simulator.CurrentModes().Events != "full" {
		t.Error("the defaults did not come back")
	}
}

func (l *lab) login(user, password string) (*govmomi.Client, error) {
	at, _ := url.Parse(l.vcenter.URL)
	at.User = url.UserPassword(user, password)
	return govmomi.NewClient(l.ctx, at, true)
}
