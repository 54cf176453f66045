// Package simulator is govmomi's; this file has what is like its source in a
// clone, and what is not: devices, network addresses, extraConfig.
package simulator

import (
	"fmt"
	"sync/atomic"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator/esx"
	"github.com/vmware/govmomi/vim25/types"
)

// copiedDevices are what a VM has to be made with to have the same devices,
// with cards of its own and edited.
func (vm *VirtualMachine) copiedDevices(
	edits map[int32]types.BaseVirtualDevice, diskOf func(*types.VirtualDisk),
) (changes []types.BaseVirtualDeviceConfigSpec) {
	devices := object.VirtualDeviceList(vm.cloneDevice())
	standard := object.VirtualDeviceList(esx.VirtualDevice)
	for _, device := range devices {
		if standard.Find(devices.Name(device)) != nil {
			continue // made with every VM
		}
		edited := edits[device.GetVirtualDevice().Key]
		add := &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: device}
		switch device := device.(type) {
		case *types.VirtualDisk:
			add.FileOperation = types.VirtualDeviceConfigSpecFileOperationCreate
			diskOf(device)
		case types.BaseVirtualEthernetCard:
			renewCard(device.GetVirtualEthernetCard(), edited)
		default:
			if edited != nil {
				add.Device = edited
			}
		}
		changes = append(changes, add)
	}
	return changes
}

// deltaOf turns a copy of the source's disk into a delta disk on top of it. Its
// file is named when it is made; its UUID stays.
func deltaOf(disk *types.VirtualDisk) {
	if backing, ok := disk.Backing.(*types.VirtualDiskFlatVer2BackingInfo); ok {
		base := *backing
		backing.FileName, backing.Parent = "", &base
		backing.DeltaDiskFormat = string(types.VirtualDiskDeltaDiskFormatRedoLogFormat)
	}
}

// assigned counts the MAC addresses given to clones.
var assigned atomic.Uint32

// renewCard applies an edit to a copy of the source's card, and gives it an
// address of its own unless the edit has one. Addresses are of the range from
// which vCenter assigns, 00:50:56:80-bf; upstream's have 12 bits, which is too
// few for the clones of a test.
func renewCard(card *types.VirtualEthernetCard, edited types.BaseVirtualDevice) {
	card.AddressType, card.MacAddress = string(types.VirtualEthernetCardMacTypeAssigned), ""
	if edit, ok := edited.(types.BaseVirtualEthernetCard); ok {
		change := edit.GetVirtualEthernetCard()
		if change.Backing != nil {
			card.Backing = change.Backing
		}
		if change.Connectable != nil {
			card.Connectable = change.Connectable
		}
		if change.AddressType == string(types.VirtualEthernetCardMacTypeManual) {
			card.AddressType, card.MacAddress = change.AddressType, change.MacAddress
		}
	}
	if card.MacAddress == "" {
		n := assigned.Add(1)
		card.MacAddress = fmt.Sprintf("00:50:56:%02x:%02x:%02x", 0x80|n>>16&0x3f, n>>8&0xff, n&0xff)
	}
}

// overlaid is what InstantCloneSpec.config does: source's keys, changed and
// added to; an empty value removes a key, as everywhere in extraConfig.
func overlaid(base, over []types.BaseOptionValue) []types.BaseOptionValue {
	values := map[string]types.AnyType{}
	var order []string
	for _, options := range [][]types.BaseOptionValue{base, over} {
		for _, option := range options {
			value := option.GetOptionValue()
			if _, known := values[value.Key]; !known {
				order = append(order, value.Key)
			}
			values[value.Key] = value.Value
		}
	}
	var merged []types.BaseOptionValue
	for _, key := range order {
		if text, ok := values[key].(string); !ok || text != "" {
			merged = append(merged, &types.OptionValue{Key: key, Value: values[key]})
		}
	}
	return merged
}
