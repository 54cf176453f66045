package vcenter

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"
)

func (l *lab) reconfigure(vm types.ManagedObjectReference, spec types.VirtualMachineConfigSpec) error {
	l.Helper()
	task, err := object.NewVirtualMachine(l.client.Client, vm).Reconfigure(l.ctx, spec)
	must(l.T, err)
	return task.Wait(l.ctx)
}

func TestAChangeOfAnOldVersionIsRefused(t *testing.T) {
	l := start(t)
	vm := l.made("clone")
	version := l.read(vm).Config.ChangeVersion
	if version == "" {
		t.Fatal("a clone has no changeVersion")
	}
	must(t, l.reconfigure(vm, types.VirtualMachineConfigSpec{Annotation: "first", ChangeVersion: version}))
	err := l.reconfigure(vm, types.VirtualMachineConfigSpec{Annotation: "second", ChangeVersion: version})
	fails[*types.ConcurrentAccess](t, err, "the version is an old one")
	now := l.read(vm).Config
	if now.Annotation != "first" || now.ChangeVersion == version {
		t.Errorf("annotation %q, version %q after %q", now.Annotation, now.ChangeVersion, version)
	}
}

func TestARunningVMKeepsItsSizeUnlessItIsHotPluggable(t *testing.T) {
	l := start(t)
	vm := l.parent.Reference()
	err := l.reconfigure(vm, types.VirtualMachineConfigSpec{NumCPUs: 2})
	fails[*types.CpuHotPlugNotSupported](t, err, "CPUs")
	err = l.reconfigure(vm, types.VirtualMachineConfigSpec{MemoryMB: 1024})
	fails[*types.MemoryHotPlugNotSupported](t, err, "memory")
	must(t, l.reconfigure(vm, types.VirtualMachineConfigSpec{NumCPUs: 1, MemoryMB: 512})) // no change
	l.powerOff(vm)
	enabled := true
	must(t, l.reconfigure(vm, types.VirtualMachineConfigSpec{
		NumCPUs: 2, CpuHotAddEnabled: &enabled, MemoryHotAddEnabled: &enabled,
	}))
	on, err := l.parent.PowerOn(l.ctx)
	must(t, err)
	must(t, on.Wait(l.ctx))
	must(t, l.reconfigure(vm, types.VirtualMachineConfigSpec{NumCPUs: 4, MemoryMB: 1024}))
	err = l.reconfigure(vm, types.VirtualMachineConfigSpec{MemoryMB: 512})
	fails[*types.MemoryHotPlugNotSupported](t, err, "less memory")
	l.until(l.host("DC0_C0_H0"), "summary.quickStats.overallMemoryUsage", is(int32(1024+32)))
}
