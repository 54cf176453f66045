package vcenter

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

func TestLoginsAreRotated(t *testing.T) {
	l := start(t)
	must(t, l.vcenter.Logins.Set(map[string]string{"operator": "new"}))
	if _, err := l.login("administrator", "secret"); err == nil {
		t.Error("an old login was let in")
	}
	if _, err := l.login("operator", "old"); err == nil {
		t.Error("a wrong password was let in")
	}
	_, err := l.login("operator", "new")
	must(t, err)
	l.made("clone") // a session outlives its login
	if ended := l.vcenter.Logins.EndSessions("administrator"); ended == 0 {
		t.Error("there was no session to end")
	}
	if _, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "late"}); !saysNotAuthenticated(err) {
		t.Errorf("got %v", err)
	}
	for _, wrong := range []map[string]string{nil, {"": "x"}, {"x": ""}} {
		if l.vcenter.Logins.Set(wrong) == nil {
			t.Errorf("accepted: %v", wrong)
		}
	}
}

func saysNotAuthenticated(err error) bool {
	if !soap.IsSoapFault(err) {
		return false
	}
	_, ok := soap.ToSoapFault(err).VimFault().(types.NotAuthenticated)
	return ok
}

func TestSessionsAreCounted(t *testing.T) {
	l := start(t)
	l.modes(`{"sessions": 1}`)
	if _, err := l.login("administrator", "secret"); err == nil {
		t.Error("there is a session too many")
	}
}

// leastPrivilege is the documented role of the provider.
func leastPrivilege() map[string][]string {
	return map[string][]string{
		"/DC0/vm": {
			"VirtualMachine.Provisioning.Clone", "VirtualMachine.Inventory.CreateFromExisting",
			"VirtualMachine.Interact.PowerOn", "VirtualMachine.Interact.PowerOff", "VirtualMachine.Inventory.Delete",
			"VirtualMachine.Config.AdvancedConfig", "VirtualMachine.Config.EditDevice",
		},
		"/DC0/host/DC0_C0/Resources": {"Resource.AssignVMToPool"},
		"/DC0/datastore":             {"Datastore.AllocateSpace"},
		"/DC0/network":               {"Network.Assign"},
	}
}

// lifecycle is what a Pod's VM goes through.
func (l *lab) lifecycle(name string) error {
	info, err := l.clone(types.VirtualMachineInstantCloneSpec{
		Name:   name,
		Config: []types.BaseOptionValue{&types.OptionValue{Key: "vch.pod.uid", Value: name}},
		Location: types.VirtualMachineRelocateSpec{DeviceChange: []types.BaseVirtualDeviceConfigSpec{
			&types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationEdit, Device: l.card()},
		}},
	})
	if err != nil {
		return err
	}
	vm := object.NewVirtualMachine(l.client.Client, info.Result.(types.ManagedObjectReference))
	for _, step := range []func() (*object.Task, error){
		func() (*object.Task, error) { return vm.PowerOff(l.ctx) },
		func() (*object.Task, error) { return vm.PowerOn(l.ctx) },
		func() (*object.Task, error) { return vm.PowerOff(l.ctx) },
		func() (*object.Task, error) { return vm.Destroy(l.ctx) },
	} {
		task, err := step()
		if err != nil {
			return err
		}
		if err := task.Wait(l.ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *lab) card() types.BaseVirtualDevice {
	devices := object.VirtualDeviceList(l.read(l.parent.Reference()).Config.Hardware.Device)
	return devices.SelectByType((*types.VirtualEthernetCard)(nil))[0]
}

func TestPrivilegesAreEnforcedOnDemand(t *testing.T) {
	l := start(t)
	must(t, l.vcenter.Privileges.Set("administrator", leastPrivilege()))
	must(t, l.lifecycle("enough"))
	for object, privileges := range leastPrivilege() {
		for i, missing := range privileges {
			role := leastPrivilege()
			role[object] = slices.Delete(slices.Clone(privileges), i, i+1)
			must(t, l.vcenter.Privileges.Set("administrator", role))
			name := strings.ReplaceAll(missing, ".", "-")
			err := l.lifecycle(name)
			if err == nil || !soap.IsSoapFault(err) {
				t.Fatalf("without %s: %v", missing, err)
			}
			refused, ok := soap.ToSoapFault(err).VimFault().(types.NoPermission)
			if !ok || refused.PrivilegeId != missing || refused.Object == nil {
				t.Errorf("without %s: %#v", missing, soap.ToSoapFault(err).VimFault())
			}
			l.vcenter.Privileges.Clear()
			if vm, err := l.finder.VirtualMachine(l.ctx, name); err == nil { // what it could not end
				if off, err := vm.PowerOff(l.ctx); err == nil {
					_ = off.Wait(l.ctx)
				}
			}
		}
	}
	must(t, l.lifecycle("all"))
}

func TestARoleIsGivenOnObjectsThatExist(t *testing.T) {
	l := start(t)
	if err := l.vcenter.Privileges.Set("operator", map[string][]string{"/DC0/nowhere": {"X"}}); err == nil ||
		!strings.Contains(err.Error(), "/DC0/nowhere") {
		t.Errorf("got %v", err)
	}
	must(t, l.vcenter.Privileges.Set("operator", map[string][]string{"/": {"X"}, l.parent.Reference().Value: {"Y"}}))
	if got := l.vcenter.Privileges.Users(); !slices.Equal(got, []string{"operator"}) {
		t.Errorf("enforced for %v", got)
	}
	if _, err := methods.GetCurrentTime(l.ctx, l.client.Client); err != nil {
		t.Errorf("the time is everybody's: %v", err)
	}
	l.made("clone") // who has no role here may do everything
}
