package vcenter

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"

	"vch.dev/e2e/simulator/guest"
)

func (l *lab) change(host types.ManagedObjectReference, change simulator.HostChange) {
	l.Helper()
	must(l.T, l.vcenter.Site.ChangeHost(host.Value, change))
}

func (l *lab) stateOf(host types.ManagedObjectReference) string {
	for _, described := range l.vcenter.Site.Hosts() {
		if described.ID == host.Value {
			return described.State
		}
	}
	return ""
}

func TestAHostInMaintenanceTakesNoVM(t *testing.T) {
	l := start(t)
	host := l.host("DC0_C0_H0")
	l.change(host, simulator.HostChange{State: "maintenance"})
	l.until(host, "runtime.inMaintenanceMode", is(true))
	_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"})
	fails[*types.InvalidState](t, err, "an instant clone")
	l.until(l.rootPool().Reference(), "runtime.memory.maxUsage", is(int64(0)))
	l.change(host, simulator.HostChange{State: "connected"})
	l.made("clone")
	if l.stateOf(host) != "connected" {
		t.Error(l.stateOf(host))
	}
}

func TestMaintenanceWaitsForRunningVMs(t *testing.T) {
	l := startWith(t, Inventory{Hosts: 2})
	_, err := l.vcenter.Site.ChangeModes([]byte(`{"maintenance": "wait"}`))
	must(t, err)
	host := l.hostOf(l.parent.Reference())
	task, err := object.NewHostSystem(l.client.Client, host).EnterMaintenanceMode(l.ctx, 0, false, nil)
	must(t, err)
	l.eventually("it is entering", func() bool { return l.stateOf(host) == "entering" })
	_, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"})
	fails[*types.InvalidState](t, err, "a clone meanwhile")
	l.powerOff(l.parent.Reference())
	must(t, task.Wait(l.ctx))
	if l.stateOf(host) != "maintenance" {
		t.Error(l.stateOf(host))
	}
	on, err := l.parent.PowerOn(l.ctx)
	must(t, err)
	fails[*types.InvalidState](t, on.Wait(l.ctx), "power on")
}

func TestMaintenanceCanBeGivenUp(t *testing.T) {
	l := start(t)
	_, err := l.vcenter.Site.ChangeModes([]byte(`{"maintenance": "wait"}`))
	must(t, err)
	host := object.NewHostSystem(l.client.Client, l.host("DC0_C0_H0"))
	task, err := host.EnterMaintenanceMode(l.ctx, 1, false, nil)
	must(t, err)
	fails[*types.Timedout](t, task.Wait(l.ctx), "after a second")
	task, err = host.EnterMaintenanceMode(l.ctx, 0, false, nil)
	must(t, err)
	l.eventually("it is entering", func() bool { return l.stateOf(host.Reference()) == "entering" })
	l.change(host.Reference(), simulator.HostChange{State: "connected"})
	fails[*types.RequestCanceled](t, task.Wait(l.ctx), "given up")
	l.made("clone")
}

func TestMaintenanceEvictsVMs(t *testing.T) {
	l := startWith(t, Inventory{Hosts: 2})
	clone := l.made("clone")
	must(t, l.backend.hosts["parent"].Frozen())
	l.until(l.parent.Reference(), "runtime.instantCloneFrozen", is(true))
	host := l.hostOf(clone)
	l.change(host, simulator.HostChange{State: "maintenance", Mode: "evict"})
	l.until(host, "runtime.inMaintenanceMode", is(true))
	moved, parent := l.read(clone), l.read(l.parent.Reference())
	if *moved.Runtime.Host == host || moved.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		t.Error("the clone was not moved alive")
	}
	if moved.Summary.QuickStats.SharedMemory != 0 || l.events(clone)["DrsVmMigratedEvent"] != 1 {
		t.Errorf("it shares %d MB, events %v", moved.Summary.QuickStats.SharedMemory, l.events(clone))
	}
	if *parent.Runtime.Host == host || parent.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff {
		t.Error("the frozen parent was not moved powered off")
	}
}

func TestNothingIsDoneToVMsOfADisconnectedHost(t *testing.T) {
	l := start(t)
	host := l.host("DC0_C0_H0")
	l.change(host, simulator.HostChange{State: "disconnected"})
	l.until(l.parent.Reference(), "runtime.connectionState", is(types.VirtualMachineConnectionStateDisconnected))
	_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone"})
	fails[*types.HostNotConnected](t, err, "a clone")
	off, err := l.parent.PowerOff(l.ctx)
	must(t, err)
	fails[*types.HostNotConnected](t, off.Wait(l.ctx), "power off")
	change, err := l.parent.Reconfigure(l.ctx, types.VirtualMachineConfigSpec{Annotation: "changed"})
	must(t, err)
	fails[*types.HostNotConnected](t, change.Wait(l.ctx), "a reconfiguration")
	l.change(host, simulator.HostChange{State: "connected"})
	if vm := l.read(l.parent.Reference()); vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn ||
		vm.Runtime.ConnectionState != types.VirtualMachineConnectionStateConnected {
		t.Error("the VM did not go on")
	}
	l.made("clone")
	if len(l.backend.ended) != 0 {
		t.Errorf("guests ended: %v", l.backend.ended)
	}
}

func TestALostHostTakesItsGuestsWithIt(t *testing.T) {
	l := startWith(t, Inventory{Hosts: 2})
	host := l.hostOf(l.parent.Reference())
	l.change(host, simulator.HostChange{State: "lost"})
	l.until(host, "runtime.connectionState", is(types.HostSystemConnectionStateNotResponding))
	if vm := l.read(l.parent.Reference()); vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn ||
		vm.Runtime.ConnectionState != types.VirtualMachineConnectionStateDisconnected {
		t.Errorf("vCenter shows %s, %s", vm.Runtime.PowerState, vm.Runtime.ConnectionState)
	}
	if len(l.backend.ended) != 1 {
		t.Errorf("guests ended: %v", l.backend.ended)
	}
	if described := l.vcenter.Machines.Describe(); described[0].State != guest.Off || described[0].Power != "poweredOn" {
		t.Errorf("%+v", described)
	}
	l.until(l.rootPool().Reference(), "runtime.memory.overallUsage", is(int64(0)))
	if l.backend.hosts["parent"].InfoSet("guestinfo.word", "from beyond") == nil {
		t.Error("a dead guest was heard")
	}
	l.change(host, simulator.HostChange{State: "connected"})
	l.until(l.parent.Reference(), "runtime.powerState", is(types.VirtualMachinePowerStatePoweredOff))
	if l.events(host)["HostConnectionLostEvent"] != 1 || l.events(l.parent.Reference())["VmPoweredOffEvent"] != 1 {
		t.Errorf("events %v, %v", l.events(host), l.events(l.parent.Reference()))
	}
}

func TestHARestartsAFrozenParentThawed(t *testing.T) {
	l := startWith(t, Inventory{Hosts: 2})
	must(t, l.backend.hosts["parent"].Frozen())
	l.until(l.parent.Reference(), "runtime.instantCloneFrozen", is(true))
	host, before := l.hostOf(l.parent.Reference()), l.backend.hosts["parent"]
	l.change(host, simulator.HostChange{State: "lost", HARestart: true})
	vm := l.read(l.parent.Reference())
	if *vm.Runtime.Host == host || vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn ||
		vm.Runtime.ConnectionState != types.VirtualMachineConnectionStateConnected {
		t.Errorf("it is on %s, %s, %s", vm.Runtime.Host.Value, vm.Runtime.PowerState, vm.Runtime.ConnectionState)
	}
	if vm.Runtime.InstantCloneFrozen == nil || *vm.Runtime.InstantCloneFrozen {
		t.Error("it is frozen still")
	}
	now := l.backend.hosts["parent"]
	if now == before {
		t.Fatal("it was not booted")
	}
	must(t, now.Frozen()) // again
	l.until(l.parent.Reference(), "runtime.instantCloneFrozen", is(true))
	if l.events(l.parent.Reference())["VmRestartedOnAlternateHostEvent"] != 1 {
		t.Errorf("events %v", l.events(l.parent.Reference()))
	}
	l.made("clone")
	l.change(host, simulator.HostChange{State: "connected"})
	if l.read(l.parent.Reference()).Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		t.Error("the host's return ended what runs elsewhere")
	}
}

func TestHAWithoutRoomFails(t *testing.T) {
	l := start(t)
	l.change(l.host("DC0_C0_H0"), simulator.HostChange{State: "lost", HARestart: true})
	if l.events(l.parent.Reference())["VmFailoverFailed"] != 1 {
		t.Errorf("events %v", l.events(l.parent.Reference()))
	}
	for _, wrong := range []simulator.HostChange{
		{State: "gone"}, {State: "connected", HARestart: true}, {State: "maintenance", Mode: "soon"},
	} {
		if l.vcenter.Site.ChangeHost(l.host("DC0_C0_H0").Value, wrong) == nil {
			t.Errorf("accepted: %+v", wrong)
		}
	}
	if l.vcenter.Site.ChangeHost("host-none", simulator.HostChange{State: "lost"}) == nil {
		t.Error("accepted a host that is not there")
	}
}
