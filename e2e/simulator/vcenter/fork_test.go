package vcenter

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"
)

func TestACloneThatFreezesIsAParent(t *testing.T) {
	l := start(t)
	must(t, l.backend.hosts["parent"].Frozen())
	l.until(l.parent.Reference(), "runtime.instantCloneFrozen", is(true))
	info, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "fork", Config: []types.BaseOptionValue{
		&types.OptionValue{Key: "guestinfo.vch.parent", Value: `{"parentId": "two", "freeze": true}`},
	}})
	must(t, err)
	fork := object.NewVirtualMachine(l.client.Client, info.Result.(types.ManagedObjectReference))
	if frozen := l.read(fork.Reference()).Runtime.InstantCloneFrozen; frozen != nil && *frozen {
		t.Error("a clone is frozen as its parent is")
	}
	guest := l.backend.hosts["fork"]
	if value, _ := guest.InfoGet("guestinfo.vch.parent"); value != `{"parentId": "two", "freeze": true}` {
		t.Errorf("its guest reads %s", value)
	}
	must(t, guest.Frozen())
	l.until(fork.Reference(), "runtime.instantCloneFrozen", is(true))
	l.parent = fork
	clone := l.read(l.made("clone"))
	if options(clone)["guestinfo.vch.parent"] != `{"parentId": "two", "freeze": true}` || clone.Summary.QuickStats.SharedMemory == 0 {
		t.Errorf("%v, shares %d MB", options(clone), clone.Summary.QuickStats.SharedMemory)
	}
	for _, described := range l.vcenter.Machines.Describe() {
		if described.Name == "clone" && described.Source != fork.Reference().Value {
			t.Errorf("its source is %s", described.Source)
		}
	}
}
