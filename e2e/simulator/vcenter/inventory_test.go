package vcenter

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

func TestTheInventoryIsAsLargeAsItIsToldToBe(t *testing.T) {
	l := startWith(t, Inventory{Clusters: 2, Hosts: 3, Datastores: 2, HostCPUs: 16, HostMemoryMB: 8192})
	hosts, err := l.finder.HostSystemList(l.ctx, "*")
	must(t, err)
	datastores, err := l.finder.DatastoreList(l.ctx, "*")
	must(t, err)
	if len(hosts) != 6 || len(datastores) != 2 {
		t.Fatalf("%d hosts, %d datastores", len(hosts), len(datastores))
	}
	var host mo.HostSystem
	must(t, property.DefaultCollector(l.client.Client).RetrieveOne(l.ctx, l.host("DC0_C1_H2"), nil, &host))
	hardware := host.Summary.Hardware
	if hardware.MemorySize != 8<<30 || hardware.NumCpuCores != 16 || hardware.NumCpuThreads != 16 || hardware.CpuMhz == 0 ||
		host.Hardware.MemorySize != 8<<30 {
		t.Errorf("its hardware: %+v", hardware)
	}
	if len(host.Datastore) != 2 || host.Runtime.ConnectionState != "connected" || host.Runtime.InMaintenanceMode {
		t.Errorf("%d datastores, %s", len(host.Datastore), host.Runtime.ConnectionState)
	}
	l.until(l.rootPool().Reference(), "runtime.memory.maxUsage", is(int64(3*8)<<30))
	cluster, err := l.finder.ClusterComputeResource(l.ctx, "DC0_C1")
	must(t, err)
	l.until(cluster.Reference(), "summary.effectiveMemory", is(int64(3*8192)))
}

func TestADefaultInventoryIsOneHost(t *testing.T) {
	l := start(t)
	if hosts := l.vcenter.Site.Hosts(); len(hosts) != 1 || hosts[0].Name != "DC0_C0_H0" || hosts[0].State != "connected" {
		t.Errorf("%+v", hosts)
	}
	if _, err := (Inventory{Hosts: -1}).build(); err == nil {
		t.Error("-1 hosts were accepted")
	}
}

func TestHostsAndPoolsFollowTheirVMs(t *testing.T) {
	l := startWith(t, Inventory{HostCPUs: 8, HostMemoryMB: 4096})
	host, pool := l.host("DC0_C0_H0"), l.rootPool().Reference()
	const parent = 512 + 32 // MB, with overhead
	l.until(host, "summary.quickStats.overallMemoryUsage", is(int32(parent)))
	clone := l.made("clone")
	// A clone has a tenth of its own: that of a frozen parent is shared with it.
	const both = parent + 32 + 51
	l.until(host, "summary.quickStats.overallMemoryUsage", is(int32(both)))
	l.until(pool, "runtime.memory.overallUsage", is(int64(both)<<20))
	l.until(pool, "runtime.memory.unreservedForVm", is(int64(4096-both)<<20))
	busy := l.pool(pool).Runtime.Cpu.OverallUsage
	if busy == 0 || busy >= l.pool(pool).Runtime.Cpu.MaxUsage {
		t.Errorf("CPU usage %d", busy)
	}
	if stats := l.read(clone).Summary.QuickStats; stats.PrivateMemory != 83 || stats.SharedMemory != 512-51 {
		t.Errorf("private %d, shared %d MB", stats.PrivateMemory, stats.SharedMemory)
	}
	must(t, l.backend.hosts["parent"].Frozen())
	l.until(host, "summary.quickStats.overallCpuUsage", is(int32(busy/2))) // who is frozen computes nothing

	reset, err := object.NewVirtualMachine(l.client.Client, clone).Reset(l.ctx)
	must(t, err)
	must(t, reset.Wait(l.ctx))
	l.until(host, "summary.quickStats.overallMemoryUsage", is(int32(2*parent))) // it shares nothing any more
	l.powerOff(clone)
	l.until(host, "summary.quickStats.overallMemoryUsage", is(int32(parent)))
}

func TestAPoolFollowsItsConfiguration(t *testing.T) {
	l := startWith(t, Inventory{HostCPUs: 8, HostMemoryMB: 4096})
	pool, err := l.rootPool().Create(l.ctx, "vch", types.DefaultResourceConfigSpec())
	must(t, err)
	l.until(pool.Reference(), "runtime.memory.maxUsage", is(int64(4096)<<20))
	spec := types.DefaultResourceConfigSpec()
	spec.MemoryAllocation.Limit, spec.CpuAllocation.Limit = types.NewInt64(1000), types.NewInt64(500)
	must(t, pool.UpdateConfig(l.ctx, "", &spec))
	l.until(pool.Reference(), "config.memoryAllocation.limit", is(int64(1000)))
	l.until(pool.Reference(), "runtime.memory.maxUsage", is(int64(1000)<<20))
	l.until(pool.Reference(), "runtime.cpu.maxUsage", is(int64(500)))
	inner, err := pool.Create(l.ctx, "inner", types.DefaultResourceConfigSpec())
	must(t, err)
	l.until(inner.Reference(), "runtime.memory.maxUsage", is(int64(1000)<<20)) // its parent's
}
