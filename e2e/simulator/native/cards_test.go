package native

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/lan"
)

// inGuest is what a command prints in the guest's network namespace.
func inGuest(t *testing.T, g guest.Guest, command ...string) string {
	t.Helper()
	stats, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	arguments := append([]string{"--net", "--target", strconv.Itoa(stats.PID)}, command...)
	said, err := exec.CommandContext(t.Context(), "nsenter", arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", command, err, said)
	}
	return strings.TrimSpace(string(said))
}

func TestACloneHasTwoCardsAndCanBeConnectedLater(t *testing.T) {
	s := newSite(t)
	s.console(2)
	vm := s.vm(2)
	vm.Cards[1].Port.Connected = false
	host := newFakeHost(map[string]string{identityKey: identity(t, 2)})
	clone, err := s.backend.InstantClone(t.Context(), s.parent(), vm, host)
	if err != nil {
		t.Fatal(err)
	}
	s.ready(host, 2)
	for i, card := range vm.Cards {
		if shown := inGuest(t, clone, "ip", "link", "show", fmt.Sprint("eth", i)); !strings.Contains(shown, card.MAC) {
			t.Errorf("card %d is %s", i, shown)
		}
	}
	inGuest(t, clone, "ip", "link", "set", "eth1", "up")
	carrier := func(expected bool) {
		t.Helper()
		shown := inGuest(t, clone, "ip", "link", "show", "eth1")
		if strings.Contains(shown, "LOWER_UP") != expected {
			t.Errorf("expected a carrier: %v; it is %s", expected, shown)
		}
	}
	carrier(false)
	connect := func(connected bool) {
		t.Helper()
		if err := clone.Connect(context.Background(), cards(2, connected)); err != nil {
			t.Fatal(err)
		}
	}
	connect(true)
	carrier(true)
	link, err := netlink.LinkByName(lan.CardName("veth", 1, vm.ID))
	if err != nil {
		t.Fatal(err)
	}
	if port, err := netlink.LinkGetProtinfo(link); err != nil || !port.Isolated {
		t.Errorf("the pod's port is isolated: %v, %v", port.Isolated, err)
	}
	connect(false)
	carrier(false)
	if err := clone.Reset(t.Context()); err != nil { // they stay disconnected
		t.Fatal(err)
	}
	for card := range vm.Cards {
		link, err := netlink.LinkByName(lan.CardName("veth", card, vm.ID))
		if err != nil || link.Attrs().MasterIndex != 0 {
			t.Errorf("card %d is on a bridge after the reset: %v", card, err)
		}
	}
}
