package vcenter

import (
	"slices"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func (l *lab) relocate(vm types.ManagedObjectReference, spec types.VirtualMachineRelocateSpec) error {
	l.Helper()
	task, err := object.NewVirtualMachine(l.client.Client, vm).
		Relocate(l.ctx, spec, types.VirtualMachineMovePriorityDefaultPriority)
	must(l.T, err)
	return task.Wait(l.ctx)
}

func TestAFrozenParentIsMoved(t *testing.T) {
	l := startWith(t, Inventory{Hosts: 2})
	vm := l.parent.Reference()
	must(t, l.backend.hosts["parent"].Frozen())
	l.until(vm, "runtime.instantCloneFrozen", is(true))
	from, to := l.hostOf(vm), l.host("DC0_C0_H0")
	if from == to {
		to = l.host("DC0_C0_H1")
	}
	pool, err := l.rootPool().Create(l.ctx, "vch", types.DefaultResourceConfigSpec())
	must(t, err)
	into := pool.Reference()
	must(t, l.relocate(vm, types.VirtualMachineRelocateSpec{Host: &to, Pool: &into}))
	if now := l.read(vm); *now.Runtime.Host != to || *now.ResourcePool != into || !*now.Runtime.InstantCloneFrozen {
		t.Errorf("on %s, in %s", now.Runtime.Host.Value, now.ResourcePool.Value)
	}
	var hosts []mo.HostSystem
	must(t, property.DefaultCollector(l.client.Client).Retrieve(l.ctx,
		[]types.ManagedObjectReference{from, to}, []string{"vm"}, &hosts))
	for _, host := range hosts {
		if slices.Contains(host.Vm, vm) != (host.Self == to) {
			t.Errorf("%s has %v", host.Self.Value, host.Vm)
		}
	}
	if slices.Contains(l.pool(l.rootPool().Reference()).Vm, vm) || !slices.Contains(l.pool(into).Vm, vm) {
		t.Error("the pools were not told")
	}
	l.until(to, "summary.quickStats.overallMemoryUsage", is(int32(512+32)))
	l.change(from, simulator.HostChange{State: "maintenance"})
	fails[*types.InvalidState](t, l.relocate(vm, types.VirtualMachineRelocateSpec{Host: &from}), "to a host in maintenance")
	clone := l.read(l.made("clone"))
	if *clone.Runtime.Host != to {
		t.Error("a clone is not where its parent is now")
	}
	for _, described := range l.vcenter.Machines.Describe() {
		if described.Host != to.Value {
			t.Errorf("%s is on %s", described.Name, described.Host)
		}
	}
}

func TestATemplateBecomesAVMAgain(t *testing.T) {
	l := startWith(t, Inventory{Hosts: 2})
	template, host := l.template(), l.host("DC0_C0_H1")
	must(t, template.MarkAsVirtualMachine(l.ctx, *l.rootPool(), object.NewHostSystem(l.client.Client, host)))
	l.until(template.Reference(), "config.template", is(false))
	if now := l.read(template.Reference()); *now.Runtime.Host != host || now.ResourcePool == nil {
		t.Errorf("on %s, in %v", now.Runtime.Host.Value, now.ResourcePool)
	}
	if !slices.Contains(l.pool(l.rootPool().Reference()).Vm, template.Reference()) {
		t.Error("the pool was not told")
	}
	on, err := template.PowerOn(l.ctx)
	must(t, err)
	must(t, on.Wait(l.ctx))
}

func TestNoVMIsMadeWhereThereIsNoRoom(t *testing.T) {
	l := start(t)
	create := func() error {
		task, err := l.vmFolder().CreateVM(l.ctx, types.VirtualMachineConfigSpec{
			Name: "made", GuestId: string(types.VirtualMachineGuestOsIdentifierOtherGuest64),
			Files: &types.VirtualMachineFileInfo{VmPathName: "[LocalDS_0]"},
		}, l.rootPool(), object.NewHostSystem(l.client.Client, l.host("DC0_C0_H0")))
		must(t, err)
		return task.Wait(l.ctx)
	}
	must(t, l.vcenter.Site.ChangeDatastore(l.datastore("LocalDS_0").Value, "full"))
	fails[*types.NoDiskSpace](t, create(), "the datastore is full")
	must(t, l.vcenter.Site.ChangeDatastore(l.datastore("LocalDS_0").Value, "normal"))
	l.change(l.host("DC0_C0_H0"), simulator.HostChange{State: "maintenance"})
	fails[*types.InvalidState](t, create(), "the host is in maintenance")
	l.change(l.host("DC0_C0_H0"), simulator.HostChange{State: "connected"})
	must(t, create())
}

func TestACloneWhoseHostIsLostMeanwhileIsUndone(t *testing.T) {
	l := start(t)
	host := l.host("DC0_C0_H0")
	lost := make(chan error, 1)
	l.backend.during = func() {
		go func() { lost <- l.vcenter.Site.ChangeHost(host.Value, simulator.HostChange{State: "lost"}) }()
		l.eventually("the host is lost", func() bool { return l.stateOf(host) == "lost" })
	}
	_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"})
	fails[*types.HostNotConnected](t, err, "the host is gone")
	must(t, <-lost)
	if _, err := l.finder.VirtualMachine(l.ctx, "clone"); err == nil {
		t.Error("something was left behind")
	}
}
