package qemu

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vch.dev/e2e/simulator/lan"
)

// agentAnswers dials the clone's agent over its first card, for as long as patience.
func agentAnswers(number int, patience time.Duration) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		connection, err := net.DialTimeout("tcp", fmt.Sprintf("10.77.0.%d:10350", 20+number), time.Second)
		if err == nil {
			_ = connection.Close()
			return true
		}
	}
	return false
}

func TestACloneThatStartsDisconnectedIsReachedOnceItIsConnected(t *testing.T) {
	b, folder := newBackend(t)
	parent := frozenParent(t, b, folder)
	described := vm(t, folder, 2)
	described.Cards = cards(2, false)
	h := newHost(t, map[string]string{"guestinfo.vch.identity": identity(t, 2)})
	started, err := b.InstantClone(context.Background(), parent, described, h)
	if err != nil {
		t.Fatal(err)
	}
	h.waitReport()
	if agentAnswers(2, 3*time.Second) {
		t.Error("it is reached though it is not connected")
	}
	for card := range described.Cards {
		link, err := netlink.LinkByName(lan.CardName("tap", card, described.ID))
		if err != nil || link.Attrs().MasterIndex != 0 {
			t.Errorf("card %d is on a bridge: %v", card, err)
		}
	}
	connect := func(connected bool) {
		t.Helper()
		if err := started.Connect(context.Background(), cards(2, connected)); err != nil {
			t.Fatal(err)
		}
	}
	connect(true)
	if !agentAnswers(2, time.Minute) {
		t.Error("it is not reached")
	}
	link, err := netlink.LinkByName(lan.CardName("tap", 1, described.ID))
	if err != nil {
		t.Fatal(err)
	}
	if port, err := netlink.LinkGetProtinfo(link); err != nil || !port.Isolated {
		t.Errorf("the pod's port is isolated: %v, %v", port.Isolated, err)
	}
	connect(false)
	if agentAnswers(2, 3*time.Second) {
		t.Error("it is reached though it was disconnected")
	}
	connect(true)
	if !agentAnswers(2, time.Minute) {
		t.Error("it is not reached any more")
	}
}
