package qemu

import (
	"slices"
	"strings"
	"testing"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/lan"
)

// devices are what a machine is told to have, in its own order.
func devices(m machine) (found []string) {
	arguments := m.arguments()
	for i, argument := range arguments {
		if argument == "-device" || argument == "-netdev" {
			found = append(found, arguments[i+1])
		}
	}
	return found
}

func TestAMachineHasATapForEachCard(t *testing.T) {
	m := machine{Cards: []card{{MAC: "00:50:56:00:00:01"}, {MAC: "00:50:56:00:00:02"}}}
	got := devices(m)
	for _, want := range []string{
		"tap,id=lan0,fd=7", "tap,id=lan1,fd=8",
		"virtio-net-pci,id=card0,netdev=lan0,addr=0x4,romfile=,guest_announce=off,mac=00:50:56:00:00:01",
		"virtio-net-pci,id=card1,netdev=lan1,addr=0x5,romfile=,guest_announce=off,mac=00:50:56:00:00:02",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not in %q", want, got)
		}
	}
	if got := devices(machine{}); slices.ContainsFunc(got, func(d string) bool { return strings.Contains(d, "net") }) {
		t.Errorf("a VM without cards has %q", got)
	}
}

func plugged(mac string, connected bool) guest.Card {
	return guest.Card{MAC: mac, Port: lan.Port{Bridge: "br", Connected: connected}}
}

func TestACloneHasItsParentsCardsWithAddressesOfItsOwn(t *testing.T) {
	parent := life{}
	if links := parent.fit("vm-1", []guest.Card{plugged("one", true), plugged("two", false)}); !slices.Equal(links, []bool{true, false}) {
		t.Errorf("links of the parent: %v", links)
	}
	// It boots with the links of a machine that was just made, until they are set.
	if cards := parent.machine.Cards; !slices.Equal(cards, []card{{"one", true}, {"two", true}}) {
		t.Errorf("cards of the parent: %v", cards)
	}
	parent.machine.Cards[1].Link = false
	snap := parent.machine
	snap.Incoming = true
	for what, check := range map[string]struct {
		cards []guest.Card
		macs  []string
		links []bool
	}{
		"as many":          {[]guest.Card{plugged("three", false), plugged("four", true)}, []string{"three", "four"}, []bool{false, true}},
		"one was removed":  {[]guest.Card{plugged("three", true)}, []string{"three", spareMAC}, []bool{true, false}},
		"one has no place": {[]guest.Card{plugged("a", true), plugged("b", true), plugged("c", true)}, []string{"a", "b"}, []bool{true, true}},
	} {
		clone := life{machine: snap}
		links := clone.fit("vm-2", check.cards)
		var macs []string
		for i, card := range clone.machine.Cards {
			macs = append(macs, card.MAC)
			if card.Link != snap.Cards[i].Link {
				t.Errorf("%s: card %d has not the link that is in the saved state", what, i)
			}
		}
		if !slices.Equal(macs, check.macs) || !slices.Equal(links, check.links) ||
			!slices.Equal(clone.taps, []string{"tap-vm-2", "tap1-vm-2"}) {
			t.Errorf("%s: %q, %v, %q", what, macs, links, clone.taps)
		}
	}
	if snap.Cards[0].MAC != "one" {
		t.Error("the parent's cards were changed")
	}
}
