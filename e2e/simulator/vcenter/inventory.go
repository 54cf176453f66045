package vcenter

import (
	"cmp"
	"fmt"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Inventory says what there is besides VMs. What is 0 is as vcsim has it: one
// cluster of one host and one datastore, of 2 processors and 4 GB that take any
// number of VMs.
type Inventory struct {
	Clusters     int // in the one datacenter
	Hosts        int // in each cluster
	Datastores   int // on each host
	HostCPUs     int
	HostMemoryMB int
	PortGroups   []PortGroup // besides, vcsim has "VM Network" and DC0_DVPG0
}

// sized tells whether somebody has said how large hosts are: then they fill up.
func (i Inventory) sized() bool { return i.HostCPUs > 0 || i.HostMemoryMB > 0 }

// build makes the inventory. Hosts are called DC0_C0_H0, datastores LocalDS_0.
func (i Inventory) build() (*simulator.Model, error) {
	if min(i.Clusters, i.Hosts, i.Datastores, i.HostCPUs, i.HostMemoryMB) < 0 {
		return nil, fmt.Errorf("inventory: numbers are not below 0: %+v", i)
	}
	model := simulator.VPX()
	model.Host, model.Machine, model.Autostart = 0, 0, false
	model.Cluster, model.ClusterHost = cmp.Or(i.Clusters, 1), cmp.Or(i.Hosts, 1)
	model.Datastore = cmp.Or(i.Datastores, 1)
	if err := model.Create(); err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	for _, entity := range model.Map().All("HostSystem") {
		if host, ok := entity.(*simulator.HostSystem); ok {
			i.size(host)
		}
	}
	if err := addPortGroups(model.Service.Context, i.PortGroups); err != nil {
		model.Remove()
		return nil, fmt.Errorf("inventory: %w", err)
	}
	return model, nil
}

// size changes a host that nobody sees yet.
func (i Inventory) size(host *simulator.HostSystem) {
	summary, hardware := host.Summary.Hardware, host.Hardware
	if i.HostCPUs > 0 {
		summary.NumCpuPkgs, summary.NumCpuCores, summary.NumCpuThreads = 1, int16(i.HostCPUs), int16(i.HostCPUs)
		hardware.CpuInfo = types.HostCpuInfo{
			NumCpuPackages: 1, NumCpuCores: int16(i.HostCPUs), NumCpuThreads: int16(i.HostCPUs),
			Hz: int64(summary.CpuMhz) * 1e6,
		}
	}
	if i.HostMemoryMB > 0 {
		summary.MemorySize = int64(i.HostMemoryMB) << 20
		hardware.MemorySize = summary.MemorySize
	}
}
