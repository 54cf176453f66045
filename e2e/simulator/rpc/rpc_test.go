package rpc

import (
	"testing"

	"vch.dev/e2e/simulator/guest"
)

type nothing struct{ guest.Host }

func (nothing) InfoGet(string) (string, bool) { return "", false }

func TestAGuestReadsTheAddressesOfItsCards(t *testing.T) {
	session := Session{Host: nothing{}, MACs: MACs([]guest.Card{{MAC: "00:50:56:00:00:01"}, {MAC: "00:50:56:00:00:02"}})}
	for key, want := range map[string]string{
		"guestinfo.vch.mac": "00:50:56:00:00:01", "guestinfo.vch.podMac": "00:50:56:00:00:02",
	} {
		if got, ok := session.get(key); got != want || !ok {
			t.Errorf("%s: %q, %v", key, got, ok)
		}
	}
	session.MACs = session.MACs[:1]
	if got, ok := session.get("guestinfo.vch.podMac"); ok {
		t.Errorf("a card that there is not has the address %q", got)
	}
}
