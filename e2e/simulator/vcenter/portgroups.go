package vcenter

import (
	"fmt"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// The private VLAN of the distributed switch: what is in the secondary one
// reaches what is in the primary, and nothing else of its own.
const (
	primaryVLAN  = 100
	isolatedVLAN = 101
)

// PortGroup is a port group and the bridge that stands for it. One that the
// inventory does not have is made, on the distributed switch of all hosts.
type PortGroup struct {
	Name     string
	Bridge   string // empty: none, cards on it have no carrier
	Isolated bool   // guests on it do not reach each other: an isolated private VLAN
	VLAN     int32  // 0: none. It is said, not made: who is on a bridge reaches who is on it
}

// addPortGroups makes those that there are not yet.
func addPortGroups(ctx *simulator.Context, groups []PortGroup) error {
	var specs []types.DVPortgroupConfigSpec
	for i, group := range groups {
		if group.Name == "" || slices.ContainsFunc(groups[:i], func(g PortGroup) bool { return g.Name == group.Name }) {
			return fmt.Errorf("port group %q: each has a name of its own", group.Name)
		}
		switch there := portGroup(ctx, group.Name); {
		case there == nil:
			specs = append(specs, group.spec())
		case group.Isolated, group.VLAN != 0:
			return fmt.Errorf("port group %q is there already, and neither isolated nor in a VLAN", group.Name)
		}
	}
	dvs, _ := ctx.Map.Any("DistributedVirtualSwitch").(*simulator.DistributedVirtualSwitch)
	config, ok := dvs.Config.(*types.VMwareDVSConfigInfo)
	if !ok {
		return fmt.Errorf("the distributed switch is a %T", dvs.Config)
	}
	config.PvlanConfig = []types.VMwareDVSPvlanMapEntry{
		{PrimaryVlanId: primaryVLAN, SecondaryVlanId: primaryVLAN, PvlanType: "promiscuous"},
		{PrimaryVlanId: primaryVLAN, SecondaryVlanId: isolatedVLAN, PvlanType: "isolated"},
	}
	if len(specs) == 0 {
		return nil
	}
	body := dvs.AddDVPortgroupTask(ctx, &types.AddDVPortgroup_Task{This: dvs.Self, Spec: specs})
	task := ctx.Map.Get(body.(*methods.AddDVPortgroup_TaskBody).Res.Returnval).(*simulator.Task)
	task.Wait()
	if task.Info.Error != nil {
		return fmt.Errorf("port groups: %s", task.Info.Error.LocalizedMessage)
	}
	for _, entity := range ctx.Map.All("ClusterComputeResource") {
		if cluster, ok := entity.(*simulator.ClusterComputeResource); ok {
			cluster.Network = unique(cluster.Network) // upstream names a port group once for each host
		}
	}
	return nil
}

// spec is in its VLAN, or in the isolated private one.
func (g PortGroup) spec() types.DVPortgroupConfigSpec {
	setting := &types.VMwareDVSPortSetting{Vlan: &types.VmwareDistributedVirtualSwitchVlanIdSpec{VlanId: g.VLAN}}
	if g.Isolated {
		setting.Vlan = &types.VmwareDistributedVirtualSwitchPvlanSpec{PvlanId: isolatedVLAN}
	}
	return types.DVPortgroupConfigSpec{
		Name: g.Name, Type: string(types.DistributedVirtualPortgroupPortgroupTypeEarlyBinding), NumPorts: 8,
		AutoExpand: types.NewBool(true), DefaultPortConfig: setting,
	}
}

func portGroup(ctx *simulator.Context, name string) mo.Entity {
	for _, kind := range []string{"Network", "DistributedVirtualPortgroup"} {
		if found := ctx.Map.FindByName(name, references(ctx.Map.All(kind))); found != nil {
			return found
		}
	}
	return nil
}

func references(entities []mo.Entity) []types.ManagedObjectReference {
	refs := make([]types.ManagedObjectReference, len(entities))
	for i, entity := range entities {
		refs[i] = entity.Reference()
	}
	return refs
}

func unique(refs []types.ManagedObjectReference) (once []types.ManagedObjectReference) {
	for _, ref := range refs {
		if !slices.Contains(once, ref) {
			once = append(once, ref)
		}
	}
	return once
}
