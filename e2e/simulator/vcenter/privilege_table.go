package vcenter

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// need is a privilege on an object.
type need struct {
	on        types.ManagedObjectReference
	privilege string
}

// onThis are the methods that need one privilege on the object they are called
// of, as the vSphere Web Services API reference names them ("Required
// Privileges"). Methods that are not here need no more than to see it.
var onThis = map[string]string{
	"PowerOnVM_Task":                  "VirtualMachine.Interact.PowerOn",
	"PowerOffVM_Task":                 "VirtualMachine.Interact.PowerOff",
	"TerminateVM":                     "VirtualMachine.Interact.PowerOff",
	"ShutdownGuest":                   "VirtualMachine.Interact.PowerOff",
	"ResetVM_Task":                    "VirtualMachine.Interact.Reset",
	"RebootGuest":                     "VirtualMachine.Interact.Reset",
	"SuspendVM_Task":                  "VirtualMachine.Interact.Suspend",
	"MarkAsTemplate":                  "VirtualMachine.Provisioning.MarkAsTemplate",
	"UnregisterVM":                    "VirtualMachine.Inventory.Unregister",
	"RelocateVM_Task":                 "Resource.ColdMigrate",
	"CreateFolder":                    "Folder.Create",
	"UpdateConfig":                    "Resource.EditPool",
	"MoveIntoFolder_Task":             "VirtualMachine.Inventory.Move",
	"MoveIntoResourcePool":            "Resource.AssignVMToPool",
	"CreateResourcePool":              "Resource.CreatePool",
	"EnterMaintenanceMode_Task":       "Host.Config.Maintenance",
	"ExitMaintenanceMode_Task":        "Host.Config.Maintenance",
	"DisconnectHost_Task":             "Host.Config.Connection",
	"ReconnectHost_Task":              "Host.Config.Connection",
	"TerminateSession":                "Sessions.TerminateSession",
	"SessionIsActive":                 "Sessions.ValidateSession",
	"CreateSnapshot_Task":             "VirtualMachine.State.CreateSnapshot",
	"RemoveAllSnapshots_Task":         "VirtualMachine.State.RemoveSnapshot",
	"ReconfigureComputeResource_Task": "Host.Inventory.EditCluster",
}

// needs lists what a call needs, in the order in which it is checked.
func (p *Privileges) needs(method *simulator.Method) []need {
	this := method.This
	switch request := method.Body.(type) {
	case *types.InstantClone_Task:
		return p.instantClone(this, &request.Spec)
	case *types.CloneVM_Task:
		return p.fullClone(this, request)
	case *types.CreateVM_Task:
		return append([]need{
			{this, "VirtualMachine.Inventory.Create"}, {request.Pool, "Resource.AssignVMToPool"},
		}, p.configured(this, &request.Config)...)
	case *types.ReconfigVM_Task:
		return p.configured(this, &request.Spec)
	case *types.Destroy_Task:
		return p.destroyed(this)
	case *types.MarkAsVirtualMachine:
		return []need{
			{this, "VirtualMachine.Provisioning.MarkAsVM"}, {request.Pool, "Resource.AssignVMToPool"},
		}
	}
	if privilege, known := onThis[method.Name]; known {
		return []need{{this, privilege}}
	}
	return nil
}

// instantClone has the five privileges of InstantClone_Task's reference, each
// on the object that the REST twin names for it, that of the extraConfig that
// is written, and that of the networks of edited cards.
func (p *Privileges) instantClone(source types.ManagedObjectReference, spec *types.VirtualMachineInstantCloneSpec) []need {
	at := p.whereabouts(source)
	folder, pool := at.folder, at.pool
	if spec.Location.Folder != nil {
		folder = *spec.Location.Folder
	}
	if spec.Location.Pool != nil {
		pool = *spec.Location.Pool
	}
	if spec.Location.Datastore != nil {
		at.datastores = []types.ManagedObjectReference{*spec.Location.Datastore}
	}
	needs := []need{
		{source, "VirtualMachine.Provisioning.Clone"},
		{folder, "VirtualMachine.Inventory.CreateFromExisting"},
		{folder, "VirtualMachine.Interact.PowerOn"},
	}
	if pool.Type != "" {
		needs = append(needs, need{pool, "Resource.AssignVMToPool"})
	}
	for _, datastore := range at.datastores {
		needs = append(needs, need{datastore, "Datastore.AllocateSpace"})
	}
	if len(spec.Config) > 0 {
		needs = append(needs, need{folder, "VirtualMachine.Config.AdvancedConfig"})
	}
	if len(spec.Location.DeviceChange) > 0 {
		needs = append(needs, need{folder, "VirtualMachine.Config.EditDevice"})
	}
	return append(needs, p.networks(spec.Location.DeviceChange)...)
}

func (p *Privileges) fullClone(source types.ManagedObjectReference, request *types.CloneVM_Task) []need {
	at := p.whereabouts(source)
	clone := "VirtualMachine.Provisioning.Clone"
	switch {
	case at.template && !request.Spec.Template:
		clone = "VirtualMachine.Provisioning.DeployTemplate"
	case at.template:
		clone = "VirtualMachine.Provisioning.CloneTemplate"
	case request.Spec.Template:
		clone = "VirtualMachine.Provisioning.CreateTemplateFromVM"
	}
	needs := []need{{source, clone}, {request.Folder, "VirtualMachine.Inventory.CreateFromExisting"}}
	if pool := request.Spec.Location.Pool; pool != nil {
		needs = append(needs, need{*pool, "Resource.AssignVMToPool"})
	} else if at.pool.Type != "" {
		needs = append(needs, need{at.pool, "Resource.AssignVMToPool"})
	}
	if datastore := request.Spec.Location.Datastore; datastore != nil {
		at.datastores = []types.ManagedObjectReference{*datastore}
	}
	for _, datastore := range at.datastores {
		needs = append(needs, need{datastore, "Datastore.AllocateSpace"})
	}
	if request.Spec.PowerOn {
		needs = append(needs, need{request.Folder, "VirtualMachine.Interact.PowerOn"})
	}
	if request.Spec.Config != nil {
		needs = append(needs, p.configured(request.Folder, request.Spec.Config)...)
	}
	return append(needs, p.networks(request.Spec.Location.DeviceChange)...)
}

// configured are the privileges of the parts of a VirtualMachineConfigSpec.
func (p *Privileges) configured(on types.ManagedObjectReference, spec *types.VirtualMachineConfigSpec) []need {
	var needs []need
	for _, part := range []struct {
		changes   bool
		privilege string
	}{
		{len(spec.ExtraConfig) > 0, "VirtualMachine.Config.AdvancedConfig"},
		{spec.NumCPUs != 0 || spec.NumCoresPerSocket != nil, "VirtualMachine.Config.CPUCount"},
		{spec.MemoryMB != 0, "VirtualMachine.Config.Memory"},
		{spec.CpuAllocation != nil || spec.MemoryAllocation != nil, "VirtualMachine.Config.Resource"},
		{spec.Annotation != "", "VirtualMachine.Config.Annotation"},
		{spec.Name != "" && on.Type == "VirtualMachine", "VirtualMachine.Config.Rename"},
	} {
		if part.changes {
			needs = append(needs, need{on, part.privilege})
		}
	}
	for _, change := range spec.DeviceChange {
		edit := change.GetVirtualDeviceConfigSpec()
		needs = append(needs, need{on, deviceChange(edit)})
		// "if changing the runtime connection state of a device as embodied by
		// the Connectable property" (ReconfigVM_Task).
		if on.Type == "VirtualMachine" && edit.Device.GetVirtualDevice().Connectable != nil {
			needs = append(needs, need{on, "VirtualMachine.Interact.DeviceConnection"})
		}
	}
	return append(needs, p.networks(spec.DeviceChange)...)
}

func deviceChange(change *types.VirtualDeviceConfigSpec) string {
	_, disk := change.Device.(*types.VirtualDisk)
	switch {
	case disk && change.Operation == types.VirtualDeviceConfigSpecOperationRemove:
		return "VirtualMachine.Config.RemoveDisk"
	case disk && change.Operation == types.VirtualDeviceConfigSpecOperationAdd && change.FileOperation != "":
		return "VirtualMachine.Config.AddNewDisk"
	case disk && change.Operation == types.VirtualDeviceConfigSpecOperationAdd:
		return "VirtualMachine.Config.AddExistingDisk"
	case change.Operation == types.VirtualDeviceConfigSpecOperationEdit:
		return "VirtualMachine.Config.EditDevice"
	}
	return "VirtualMachine.Config.AddRemoveDevice"
}

// destroyed: VirtualMachine.Inventory.Delete is needed on the VM and on what it
// is in.
func (p *Privileges) destroyed(ref types.ManagedObjectReference) []need {
	privilege := map[string]string{
		"VirtualMachine": "VirtualMachine.Inventory.Delete", "Folder": "Folder.Delete", "ResourcePool": "Resource.DeletePool",
	}[ref.Type]
	if privilege == "" {
		return nil
	}
	needs := []need{{ref, privilege}}
	if entity, ok := p.ctx.Map.Get(ref).(mo.Entity); ok && entity.Entity().Parent != nil && ref.Type == "VirtualMachine" {
		needs = append(needs, need{*entity.Entity().Parent, privilege})
	}
	return needs
}

// networks: Network.Assign on each network that a card is put on.
func (p *Privileges) networks(changes []types.BaseVirtualDeviceConfigSpec) []need {
	var needs []need
	for _, change := range changes {
		device := change.GetVirtualDeviceConfigSpec().Device
		if device == nil {
			continue
		}
		switch backing := device.GetVirtualDevice().Backing.(type) {
		case *types.VirtualEthernetCardNetworkBackingInfo:
			for _, entity := range p.ctx.Map.All("Network") {
				if simulator.EntityName(entity) == backing.DeviceName {
					needs = append(needs, need{entity.Reference(), "Network.Assign"})
				}
			}
		case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
			group := types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: backing.Port.PortgroupKey}
			needs = append(needs, need{group, "Network.Assign"})
		}
	}
	return needs
}

// whereabouts of a VM.
type whereabouts struct {
	folder, pool types.ManagedObjectReference
	datastores   []types.ManagedObjectReference
	template     bool
}

func (p *Privileges) whereabouts(ref types.ManagedObjectReference) (at whereabouts) {
	vm, ok := p.ctx.Map.Get(ref).(*simulator.VirtualMachine)
	if !ok {
		return at
	}
	ctx := p.ctx.Fresh()
	ctx.WithLock(vm, func() {
		if vm.Parent != nil {
			at.folder = *vm.Parent
		}
		if vm.ResourcePool != nil {
			at.pool = *vm.ResourcePool
		}
		at.datastores, at.template = append(at.datastores, vm.Datastore...), vm.Config.Template
	})
	return at
}
