package vcenter

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"
)

// template makes the lab's parent a template that is told to freeze.
func (l *lab) template() *object.VirtualMachine {
	l.Helper()
	l.powerOff(l.parent.Reference())
	must(l.T, l.parent.MarkAsTemplate(l.ctx))
	return l.parent
}

func (l *lab) fullClone(from *object.VirtualMachine, name string, spec types.VirtualMachineCloneSpec) (
	*object.VirtualMachine, error,
) {
	l.Helper()
	task, err := from.Clone(l.ctx, l.vmFolder(), name, spec)
	must(l.T, err)
	info, err := task.WaitForResult(l.ctx)
	if err != nil {
		return nil, err
	}
	return object.NewVirtualMachine(l.client.Client, info.Result.(types.ManagedObjectReference)), nil
}

func TestATemplateIsClonedToAnyHostAndBoots(t *testing.T) {
	l := startWith(t, Inventory{Hosts: 3, Datastores: 2})
	template := l.template()
	l.until(template.Reference(), "config.template", is(true))
	host, pool, datastore := l.host("DC0_C0_H2"), l.rootPool().Reference(), l.datastore("LocalDS_1")
	made, err := l.fullClone(template, "made", types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{Host: &host, Pool: &pool, Datastore: &datastore},
		PowerOn:  true,
		Config: &types.VirtualMachineConfigSpec{NumCPUs: 4, MemoryMB: 1024, ExtraConfig: []types.BaseOptionValue{
			&types.OptionValue{Key: "guestinfo.vch.parent", Value: `{"freeze": true}`},
		}},
	})
	must(t, err)
	source, vm := l.read(template.Reference()), l.read(made.Reference())
	if *vm.Runtime.Host != host || *vm.ResourcePool != pool || vm.Datastore[0] != datastore {
		t.Errorf("it is on %s, in %s, on %v", vm.Runtime.Host.Value, vm.ResourcePool.Value, vm.Datastore)
	}
	if vm.Config.Hardware.NumCPU != 4 || vm.Config.Hardware.MemoryMB != 1024 || vm.Config.Template {
		t.Errorf("its hardware: %d CPUs, %d MB", vm.Config.Hardware.NumCPU, vm.Config.Hardware.MemoryMB)
	}
	if got := options(vm); got["guestinfo.base"] != "from the parent" || got["sim.guest"] != "fake" ||
		got["guestinfo.vch.parent"] != `{"freeze": true}` {
		t.Errorf("its extraConfig: %v", got)
	}
	if mac(vm) == mac(source) || mac(vm) == "" || vm.Config.Uuid == source.Config.Uuid {
		t.Error("it has the template's identity")
	}
	if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn || vm.Config.ChangeVersion == "" {
		t.Errorf("it is %s, version %q", vm.Runtime.PowerState, vm.Config.ChangeVersion)
	}
	guest := l.backend.hosts["made"]
	if value, ok := guest.InfoGet("guestinfo.vch.parent"); !ok || value != `{"freeze": true}` {
		t.Errorf("its guest reads %q", value)
	}
	must(t, guest.Frozen())
	l.until(made.Reference(), "runtime.instantCloneFrozen", is(true))
	l.parent = made
	if clone := l.read(l.made("clone")); *clone.Runtime.Host != host {
		t.Error("an instant clone is on another host than its parent")
	}
}

func TestATemplateCannotRunNorBeClonedInstantly(t *testing.T) {
	l := start(t)
	template := l.template()
	_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"})
	fails[*types.InvalidArgument](t, err, "instant clone of a template")
	on, err := template.PowerOn(l.ctx)
	if err == nil {
		err = on.Wait(l.ctx)
	}
	if err == nil {
		t.Error("a template was powered on")
	}
	if len(l.pool(l.rootPool().Reference()).Vm) != 0 {
		t.Error("the template is still in its pool")
	}
}

func TestWhereAFullCloneCannotGo(t *testing.T) {
	l := startWith(t, Inventory{Clusters: 2, Hosts: 2})
	pool, other := l.rootPool().Reference(), l.host("DC0_C1_H0")
	source := l.parent
	for what, location := range map[string]types.VirtualMachineRelocateSpec{
		"a host of another cluster": {Host: &other, Pool: &pool},
		"no pool":                   {Pool: types.NewReference(l.host("DC0_C0_H0"))},
	} {
		_, err := l.fullClone(source, "made", types.VirtualMachineCloneSpec{Location: location})
		fails[*types.InvalidArgument](t, err, what)
	}
	nowhere := types.ManagedObjectReference{Type: "Datastore", Value: "datastore-none"}
	_, err := l.fullClone(source, "made", types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{Datastore: &nowhere},
	})
	fails[*types.InvalidDatastore](t, err, "no datastore")
	_, err = l.fullClone(source, "parent", types.VirtualMachineCloneSpec{})
	fails[*types.DuplicateName](t, err, "a name that is taken")
	template := l.template()
	_, err = l.fullClone(template, "made", types.VirtualMachineCloneSpec{})
	fails[*types.InvalidArgument](t, err, "a template names no pool")
}

func TestACloneCanBecomeATemplateAndStaysOff(t *testing.T) {
	l := start(t)
	made, err := l.fullClone(l.parent, "template", types.VirtualMachineCloneSpec{Template: true, PowerOn: true})
	must(t, err)
	vm := l.read(made.Reference())
	if !vm.Config.Template || vm.ResourcePool != nil || vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff {
		t.Errorf("template %v, pool %v, %s", vm.Config.Template, vm.ResourcePool, vm.Runtime.PowerState)
	}
	off, err := l.fullClone(l.parent, "off", types.VirtualMachineCloneSpec{})
	must(t, err)
	if l.backend.hosts["off"] != nil {
		t.Error("it has a guest")
	}
	on, err := off.PowerOn(l.ctx)
	must(t, err)
	must(t, on.Wait(l.ctx))
	if l.backend.hosts["off"] == nil {
		t.Error("it has no guest")
	}
}
