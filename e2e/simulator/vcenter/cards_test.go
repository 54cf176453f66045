package vcenter

import (
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/lan"
)

var groups = []PortGroup{
	{Name: "VM Network", Bridge: "vch0"},
	{Name: "pods", Bridge: "vch1", Isolated: true},
	{Name: "pods-open", Bridge: "vch1"},
	{Name: "team", Bridge: "vch2", VLAN: 7},
}

func startWithGroups(t *testing.T) *lab {
	t.Helper()
	return startWith(t, Inventory{Hosts: 2, PortGroups: groups})
}

// backing is what a card has to be on a port group.
func (l *lab) backing(group string) types.BaseVirtualDeviceBackingInfo {
	l.Helper()
	network, err := l.finder.Network(l.ctx, group)
	must(l.T, err)
	backing, err := network.EthernetCardBackingInfo(l.ctx)
	must(l.T, err)
	return backing
}

func nic(key int32, backing types.BaseVirtualDeviceBackingInfo) *types.VirtualVmxnet3 {
	card := &types.VirtualVmxnet3{}
	card.Key, card.Backing = key, backing
	return card
}

func deviceChanges(operation types.VirtualDeviceConfigSpecOperation, cards ...types.BaseVirtualDevice) (
	changes []types.BaseVirtualDeviceConfigSpec,
) {
	for _, card := range cards {
		changes = append(changes, &types.VirtualDeviceConfigSpec{Operation: operation, Device: card})
	}
	return changes
}

const (
	add  = types.VirtualDeviceConfigSpecOperationAdd
	edit = types.VirtualDeviceConfigSpecOperationEdit
)

// nics are a VM's cards, in their order.
func nics(vm mo.VirtualMachine) (found []*types.VirtualEthernetCard) {
	for _, device := range vm.Config.Hardware.Device {
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			found = append(found, card.GetVirtualEthernetCard())
		}
	}
	return found
}

// twoCards adds a card on a port group to the lab's parent, which has one.
func (l *lab) twoCards(second string) *object.VirtualMachine {
	l.Helper()
	l.powerOff(l.parent.Reference())
	must(l.T, l.reconfigure(l.parent.Reference(), types.VirtualMachineConfigSpec{
		DeviceChange: deviceChanges(add, nic(-1, l.backing(second))),
	}))
	return l.parent
}

func (l *lab) powerOn(vm types.ManagedObjectReference) {
	l.Helper()
	on, err := object.NewVirtualMachine(l.client.Client, vm).PowerOn(l.ctx)
	must(l.T, err)
	must(l.T, on.Wait(l.ctx))
}

// cardsOf are those of a guest.
func (l *lab) cardsOf(name string) []guest.Card {
	l.backend.mutex.Lock()
	defer l.backend.mutex.Unlock()
	return l.backend.cards[name]
}

// expectPorts compares a guest's ports, and its addresses with the VM's.
func (l *lab) expectPorts(name string, vm types.ManagedObjectReference, ports ...lan.Port) {
	l.Helper()
	cards, shown := l.cardsOf(name), nics(l.read(vm))
	if len(cards) != len(ports) || len(shown) != len(ports) {
		l.Fatalf("%s: %d cards of the guest, %d of the VM, not %d", name, len(cards), len(shown), len(ports))
	}
	for i, card := range cards {
		if card.Port != ports[i] {
			l.Errorf("%s: card %d is in %+v, not %+v", name, i, card.Port, ports[i])
		}
		if card.MAC != shown[i].MacAddress || card.MAC == "" || shown[i].Connectable.Connected != ports[i].Connected {
			l.Errorf("%s: card %d has %q; the VM shows %q, %+v", name, i, card.MAC, shown[i].MacAddress, shown[i].Connectable)
		}
	}
}

var (
	management = lan.Port{Bridge: "vch0", Connected: true}
	isolated   = lan.Port{Bridge: "vch1", Isolated: true, Connected: true}
	open       = lan.Port{Bridge: "vch1", Connected: true}
)

func unplugged(port lan.Port) lan.Port {
	port.Connected = false
	return port
}

func TestAGuestHasTheCardsThatItsVMHas(t *testing.T) {
	l := startWithGroups(t)
	vm := l.twoCards("pods").Reference()
	l.powerOn(vm)
	l.expectPorts("parent", vm, management, isolated)
	clone := l.made("clone")
	l.expectPorts("clone", clone, management, isolated)
	addresses := map[string]bool{}
	for _, card := range append(l.cardsOf("parent"), l.cardsOf("clone")...) {
		addresses[card.MAC] = true
	}
	if len(addresses) != 4 {
		t.Errorf("four cards have %d addresses", len(addresses))
	}
}

func TestAFullClonesCardsAreOnThePortGroupsThatItIsToldOf(t *testing.T) {
	l := startWithGroups(t)
	l.twoCards("pods")
	must(t, l.parent.MarkAsTemplate(l.ctx))
	template := l.read(l.parent.Reference())
	devices := template.Config.Hardware.Device
	pool := l.rootPool().Reference()
	var edits []types.BaseVirtualDeviceConfigSpec
	for _, device := range devices { // whole, as clients send what they have read
		if card, ok := device.(types.BaseVirtualEthernetCard); ok {
			if len(edits) == 1 {
				card.GetVirtualEthernetCard().Backing = l.backing("pods-open")
			}
			edits = append(edits, &types.VirtualDeviceConfigSpec{Operation: edit, Device: device})
		}
	}
	made, err := l.fullClone(l.parent, "made", types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{Pool: &pool},
		Config:   &types.VirtualMachineConfigSpec{DeviceChange: edits}, PowerOn: true,
	})
	must(t, err)
	l.expectPorts("made", made.Reference(), management, open)
	for i, card := range l.cardsOf("made") {
		if card.MAC == nics(template)[i].MacAddress {
			t.Errorf("card %d has the template's address", i)
		}
	}
}

func TestACardIsConnectedAndDisconnectedWhileTheGuestRuns(t *testing.T) {
	l := startWithGroups(t)
	vm := l.twoCards("pods").Reference()
	l.powerOn(vm)
	before := nics(l.read(vm))
	connect := func(connected bool, keys ...int32) {
		t.Helper()
		var cards []types.BaseVirtualDevice
		for _, key := range keys { // nothing but what changes
			card := nic(key, nil)
			card.Connectable = &types.VirtualDeviceConnectInfo{Connected: connected, StartConnected: true}
			cards = append(cards, card)
		}
		must(t, l.reconfigure(vm, types.VirtualMachineConfigSpec{DeviceChange: deviceChanges(edit, cards...)}))
	}
	connect(false, before[0].Key)
	l.expectPorts("parent", vm, unplugged(management), isolated) // also in their order
	connect(false, before[0].Key, before[1].Key)
	l.expectPorts("parent", vm, unplugged(management), unplugged(isolated))
	for i, card := range nics(l.read(vm)) {
		if card.MacAddress != before[i].MacAddress || card.Key != before[i].Key {
			t.Errorf("card %d was %s and is %s", i, before[i].MacAddress, card.MacAddress)
		}
	}
	clone := l.made("clone")
	l.expectPorts("clone", clone, unplugged(management), unplugged(isolated)) // as its parent
	connect(true, before[0].Key, before[1].Key)
	l.expectPorts("parent", vm, management, isolated)
	l.expectPorts("clone", clone, unplugged(management), unplugged(isolated))

	reset, err := object.NewVirtualMachine(l.client.Client, clone).Reset(l.ctx)
	must(t, err)
	must(t, reset.Wait(l.ctx))
	l.expectPorts("clone", clone, unplugged(management), unplugged(isolated))
	l.powerOff(clone)
	l.powerOn(clone) // startConnected
	l.expectPorts("clone", clone, management, isolated)
}

func TestACardThatIsConnectedToAnotherPortGroupIsOnThatOnesBridge(t *testing.T) {
	l := startWithGroups(t)
	vm := l.twoCards("pods").Reference()
	l.powerOn(vm)
	clone := l.made("clone")
	card := nic(nics(l.read(clone))[1].Key, l.backing("team"))
	card.Connectable = &types.VirtualDeviceConnectInfo{Connected: true, StartConnected: true}
	must(t, l.reconfigure(clone, types.VirtualMachineConfigSpec{DeviceChange: deviceChanges(edit, card)}))
	l.expectPorts("clone", clone, management, lan.Port{Bridge: "vch2", Connected: true})
	l.expectPorts("parent", vm, management, isolated)
}

func TestAnInstantClonesEditsSayWhichCardsAreConnected(t *testing.T) {
	l := startWithGroups(t)
	vm := l.twoCards("pods").Reference()
	l.powerOn(vm)
	keys := nics(l.read(vm))
	first, second := nic(keys[0].Key, nil), nic(keys[1].Key, l.backing("pods-open"))
	first.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true}
	second.Connectable = &types.VirtualDeviceConnectInfo{StartConnected: true, MigrateConnect: "connect"}
	info, err := l.clone(types.VirtualMachineInstantCloneSpec{Name: "clone", Location: types.VirtualMachineRelocateSpec{
		DeviceChange: deviceChanges(edit, first, second),
	}})
	must(t, err)
	l.expectPorts("clone", info.Result.(types.ManagedObjectReference), unplugged(management), open)
	first.Connectable = &types.VirtualDeviceConnectInfo{Connected: true, MigrateConnect: "disconnect"}
	info, err = l.clone(types.VirtualMachineInstantCloneSpec{Name: "other", Location: types.VirtualMachineRelocateSpec{
		DeviceChange: deviceChanges(edit, first),
	}})
	must(t, err)
	l.expectPorts("other", info.Result.(types.ManagedObjectReference), unplugged(management), isolated)
}

func TestAPortGroupWithoutABridgeLeadsNowhere(t *testing.T) {
	l := startWithGroups(t)
	vm := l.twoCards("DC0_DVPG0").Reference()
	l.powerOn(vm)
	l.expectPorts("parent", vm, management, lan.Port{Connected: true})
	if l.cardsOf("parent")[1].Port.Plugged() {
		t.Error("it has a carrier")
	}
}

func TestIsolationIsReadFromThePortGroupAndItsSwitch(t *testing.T) {
	l := startWithGroups(t)
	collector := property.DefaultCollector(l.client.Client)
	group := func(name string) (read mo.DistributedVirtualPortgroup) {
		t.Helper()
		network, err := l.finder.Network(l.ctx, name)
		must(t, err)
		must(t, collector.RetrieveOne(l.ctx, network.Reference(),
			[]string{"name", "key", "config.defaultPortConfig", "config.distributedVirtualSwitch", "host"}, &read))
		return read
	}
	pods := group("pods")
	setting, ok := pods.Config.DefaultPortConfig.(*types.VMwareDVSPortSetting)
	if !ok {
		t.Fatalf("its ports are %T", pods.Config.DefaultPortConfig)
	}
	private, ok := setting.Vlan.(*types.VmwareDistributedVirtualSwitchPvlanSpec)
	if !ok {
		t.Fatalf("its VLAN is %T", setting.Vlan)
	}
	var dvs mo.DistributedVirtualSwitch
	must(t, collector.RetrieveOne(l.ctx, *pods.Config.DistributedVirtualSwitch, []string{"config", "uuid"}, &dvs))
	kinds := map[int32]string{}
	for _, entry := range dvs.Config.(*types.VMwareDVSConfigInfo).PvlanConfig {
		if entry.PrimaryVlanId != 100 {
			t.Errorf("primary VLAN %d", entry.PrimaryVlanId)
		}
		kinds[entry.SecondaryVlanId] = entry.PvlanType
	}
	if kinds[private.PvlanId] != "isolated" || kinds[100] != "promiscuous" || len(kinds) != 2 {
		t.Errorf("VLAN %d of %v", private.PvlanId, kinds)
	}
	if len(pods.Host) != 2 {
		t.Errorf("%d hosts have it", len(pods.Host))
	}
	setting, _ = group("pods-open").Config.DefaultPortConfig.(*types.VMwareDVSPortSetting)
	if _, ok := setting.Vlan.(*types.VmwareDistributedVirtualSwitchVlanIdSpec); !ok {
		t.Errorf("pods-open has the VLAN %T", setting.Vlan)
	}
	cluster, err := l.finder.ClusterComputeResource(l.ctx, "DC0_C0")
	must(t, err)
	var seen mo.ClusterComputeResource
	must(t, collector.RetrieveOne(l.ctx, cluster.Reference(), []string{"network"}, &seen))
	count := map[types.ManagedObjectReference]int{}
	for _, network := range seen.Network {
		count[network]++
	}
	if count[pods.Self] != 1 || count[group("pods-open").Self] != 1 {
		t.Errorf("the cluster has %v", seen.Network)
	}
}

func TestPortGroupsThatCannotBe(t *testing.T) {
	for what, wrong := range map[string][]PortGroup{
		"no name":                  {{Bridge: "vch0"}},
		"the same twice":           {{Name: "pods"}, {Name: "pods"}},
		"a standard one isolated":  {{Name: "VM Network", Isolated: true}},
		"a standard one in a VLAN": {{Name: "VM Network", VLAN: 7}},
	} {
		if _, err := (Inventory{PortGroups: wrong}).build(); err == nil {
			t.Errorf("accepted: %s", what)
		}
	}
}
