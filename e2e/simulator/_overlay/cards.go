// Package simulator is govmomi's; this file has what it lacks of network cards:
// edits that leave things out, the order of cards, whether a card is connected,
// and guests that notice.
package simulator

import (
	"slices"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"
)

func guestCard(ctx *Context, card *types.VirtualEthernetCard) GuestCard {
	described := GuestCard{MAC: card.MacAddress}
	if card.Connectable != nil {
		described.Connected = card.Connectable.Connected
	}
	switch backing := card.Backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		described.PortGroup = backing.DeviceName
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		ref := types.ManagedObjectReference{Type: "DistributedVirtualPortgroup", Value: backing.Port.PortgroupKey}
		if group, ok := ctx.Map.Get(ref).(*DistributedVirtualPortgroup); ok {
			described.PortGroup = group.Name
		}
	}
	return described
}

// beforeEdits is for upstream's configureDevices, which replaces an edited
// device by what the edit has and puts that last: edits of cards are completed,
// the keys of the VM's devices are told in their order, and the list is one that
// can be changed.
func (vm *VirtualMachine) beforeEdits(spec *types.VirtualMachineConfigSpec) ([]int32, object.VirtualDeviceList) {
	devices := object.VirtualDeviceList(slices.Clone(vm.Config.Hardware.Device))
	keys := make([]int32, len(devices))
	for i, device := range devices {
		keys[i] = device.GetVirtualDevice().Key
	}
	for _, change := range spec.DeviceChange {
		change := change.GetVirtualDeviceConfigSpec()
		if change.Operation != types.VirtualDeviceConfigSpecOperationEdit || change.Device == nil {
			continue
		}
		edit, isCard := change.Device.(types.BaseVirtualEthernetCard)
		now, wasCard := devices.FindByKey(change.Device.GetVirtualDevice().Key).(types.BaseVirtualEthernetCard)
		if isCard && wasCard {
			completeCard(edit.GetVirtualEthernetCard(), now.GetVirtualEthernetCard())
		}
	}
	return keys, devices
}

// completeCard: what an edit leaves out stays, and so does an address that is
// not set by hand.
func completeCard(edit, now *types.VirtualEthernetCard) {
	if edit.Backing == nil {
		edit.Backing = now.Backing
	}
	if edit.Connectable == nil && now.Connectable != nil {
		connectable := *now.Connectable
		edit.Connectable = &connectable
	}
	if edit.AddressType != string(types.VirtualEthernetCardMacTypeManual) || edit.MacAddress == "" {
		edit.AddressType, edit.MacAddress = now.AddressType, now.MacAddress
	}
	if edit.DeviceInfo == nil {
		edit.DeviceInfo = now.DeviceInfo
	}
	if edit.ControllerKey == 0 {
		edit.ControllerKey = now.ControllerKey
	}
	if edit.UnitNumber == nil {
		edit.UnitNumber = now.UnitNumber
	}
	if edit.WakeOnLanEnabled == nil {
		edit.WakeOnLanEnabled = now.WakeOnLanEnabled
	}
	if edit.ResourceAllocation == nil {
		edit.ResourceAllocation = now.ResourceAllocation
	}
}

// inOrder brings devices into the order of keys; new ones come last.
func inOrder(devices object.VirtualDeviceList, keys []int32) object.VirtualDeviceList {
	place := func(device types.BaseVirtualDevice) int {
		if at := slices.Index(keys, device.GetVirtualDevice().Key); at >= 0 {
			return at
		}
		return len(keys)
	}
	slices.SortStableFunc(devices, func(a, b types.BaseVirtualDevice) int { return place(a) - place(b) })
	return devices
}

// reconfigure does what ReconfigVM_Task asks for, and lets a guest that runs
// notice what became of its cards. The VM's lock is held.
func (vm *VirtualMachine) reconfigure(ctx *Context, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	if fault := vm.configure(ctx, spec); fault != nil {
		return fault
	}
	changed := slices.ContainsFunc(spec.DeviceChange, func(change types.BaseVirtualDeviceConfigSpec) bool {
		_, card := change.GetVirtualDeviceConfigSpec().Device.(types.BaseVirtualEthernetCard)
		return card
	})
	if !changed || !vm.hasGuest() || vm.Runtime.PowerState != poweredOn {
		return nil
	}
	if err := Guests.Connect(vm.guest(ctx)); err != nil {
		return SystemError(err)
	}
	return nil
}

// connectedIn tells by key which cards an instant clone has connected: those
// that its source has, unless an edit says otherwise. VirtualDeviceConnectInfo:
// migrateConnect is for instant clones, too, and goes before connected.
func connectedIn(changes []types.BaseVirtualDeviceConfigSpec) map[int32]bool {
	connected := map[int32]bool{}
	for _, change := range changes {
		card, ok := change.GetVirtualDeviceConfigSpec().Device.(types.BaseVirtualEthernetCard)
		if !ok {
			continue
		}
		device := card.GetVirtualEthernetCard()
		if device.Connectable == nil {
			continue
		}
		switch types.VirtualDeviceConnectInfoMigrateConnectOp(device.Connectable.MigrateConnect) {
		case types.VirtualDeviceConnectInfoMigrateConnectOpConnect:
			connected[device.Key] = true
		case types.VirtualDeviceConnectInfoMigrateConnectOpDisconnect:
			connected[device.Key] = false
		default:
			connected[device.Key] = device.Connectable.Connected
		}
	}
	return connected
}

// connectCards sets what setPower cannot know. The VM's lock is held.
func (vm *VirtualMachine) connectCards(ctx *Context, connected map[int32]bool) {
	devices := vm.cloneDevice()
	for _, device := range devices {
		device := device.GetVirtualDevice()
		if state, known := connected[device.Key]; known && device.Connectable != nil {
			device.Connectable.Connected = state
		}
	}
	ctx.Update(vm, []types.PropertyChange{{Name: "config.hardware.device", Val: devices}})
}
