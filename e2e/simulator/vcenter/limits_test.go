package vcenter

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"
)

func TestAHostThatIsFullRefuses(t *testing.T) {
	l := startWith(t, Inventory{HostCPUs: 8, HostMemoryMB: 700})
	clone := l.made("one") // 544 of the parent, 83 of the clone
	_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "two"})
	refused := fails[*types.InsufficientMemoryResourcesFault](t, err, "a clone too many")
	if refused != nil && (refused.Requested != 83<<20 || refused.Unreserved != (700-544-83)<<20) {
		t.Errorf("%+v", refused)
	}
	l.powerOff(clone)
	if _, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "two"}); err != nil {
		t.Errorf("there was room again: %v", err)
	}
	on, err := object.NewVirtualMachine(l.client.Client, clone).PowerOn(l.ctx)
	must(t, err)
	fails[*types.InsufficientMemoryResourcesFault](t, on.Wait(l.ctx), "a boot takes all of its memory")
	_, err = l.vcenter.Site.ChangeModes([]byte(`{"admission": false}`))
	must(t, err)
	on, err = object.NewVirtualMachine(l.client.Client, clone).PowerOn(l.ctx)
	must(t, err)
	must(t, on.Wait(l.ctx))
}

func TestAPoolThatIsFullRefuses(t *testing.T) {
	l := start(t)
	spec := types.DefaultResourceConfigSpec()
	spec.MemoryAllocation.Limit = types.NewInt64(100)
	pool, err := l.rootPool().Create(l.ctx, "vch", spec)
	must(t, err)
	into := types.VirtualMachineRelocateSpec{Pool: types.NewReference(pool.Reference())}
	_, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "one", Location: into})
	must(t, err)
	_, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "two", Location: into})
	fails[*types.InsufficientMemoryResourcesFault](t, err, "beyond the pool's memory")
	if _, err := l.finder.VirtualMachine(l.ctx, "two"); err == nil {
		t.Error("the refused clone is there")
	}
	spec.MemoryAllocation.Limit, spec.CpuAllocation.Limit = types.NewInt64(-1), types.NewInt64(150)
	must(t, pool.UpdateConfig(l.ctx, "", &spec))
	_, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "two", Location: into})
	fails[*types.InsufficientCpuResourcesFault](t, err, "beyond the pool's CPU")
}

func TestClonesAtOnceDoNotExceedALimitTogether(t *testing.T) {
	l := startWith(t, Inventory{HostCPUs: 64, HostMemoryMB: 544 + 5*83})
	results := make(chan error, 20)
	for i := range cap(results) {
		go func() {
			_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone-" + string(rune('a'+i))})
			results <- err
		}()
	}
	made := 0
	for range cap(results) {
		if err := <-results; err == nil {
			made++
		} else {
			fails[*types.InsufficientMemoryResourcesFault](t, err, "too many")
		}
	}
	if made != 5 {
		t.Errorf("%d clones where 5 have room", made)
	}
}

func TestADatastoreThatIsFullRefuses(t *testing.T) {
	l := startWith(t, Inventory{Datastores: 2})
	full := l.datastore("LocalDS_0")
	must(t, l.vcenter.Site.ChangeDatastore(full.Value, "full"))
	l.until(full, "summary.freeSpace", is(int64(0)))
	_, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "one"})
	if refused := fails[*types.NoDiskSpace](t, err, "full"); refused != nil && refused.Datastore != "LocalDS_0" {
		t.Errorf("%+v", refused)
	}
	must(t, l.vcenter.Site.ChangeDatastore(full.Value, "inaccessible"))
	_, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "one"})
	fails[*types.CannotAccessFile](t, err, "inaccessible")
	must(t, l.vcenter.Site.ChangeDatastore(full.Value, "normal"))
	l.made("one")
	if l.vcenter.Site.ChangeDatastore(full.Value, "round") == nil || l.vcenter.Site.ChangeDatastore("none", "full") == nil {
		t.Error("nonsense was accepted")
	}
	if got := l.vcenter.Site.Datastores(); len(got) != 2 || got[1].State != "normal" {
		t.Errorf("%+v", got)
	}
}
