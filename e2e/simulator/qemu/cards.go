package qemu

import (
	"context"
	"errors"
	"slices"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/lan"
)

// spareMAC is that of a card that its machine has, because a saved state of it
// is to be loaded, and the VM has not any more.
const spareMAC = "02:00:00:00:00:01"

// fit gives the machine the VM's cards and returns which have a carrier. A
// machine that goes on from a saved state has to have as many as that: the
// links stay as they are there until setLinks.
func (l *life) fit(id string, cards []guest.Card) (links []bool) {
	if !l.machine.Incoming {
		l.machine.Cards = make([]card, len(cards))
		for i := range l.machine.Cards {
			l.machine.Cards[i].Link = true // as QEMU makes them
		}
	}
	l.machine.Cards = slices.Clone(l.machine.Cards) // the snapshot has the other
	for i := range l.machine.Cards {
		l.machine.Cards[i].MAC = spareMAC
		if i < len(cards) {
			l.machine.Cards[i].MAC = cards[i].MAC
		}
		l.taps = append(l.taps, lan.CardName("tap", i, id))
		links = append(links, portOf(cards, i).Plugged())
	}
	return links
}

func portOf(cards []guest.Card, number int) lan.Port {
	if number < len(cards) {
		return cards[number].Port
	}
	return lan.Port{}
}

// connect plugs the cards of the running machine into other ports. The guest
// gets its carrier when frames pass, and loses it before they do not.
func (l *life) connect(ctx context.Context, cards []guest.Card) error {
	links := make([]bool, len(l.taps))
	var unplugged []bool
	for i := range l.taps {
		links[i] = portOf(cards, i).Plugged()
		unplugged = append(unplugged, links[i] && l.machine.Cards[i].Link)
	}
	err := l.setLinks(ctx, unplugged)
	for i, name := range l.taps {
		err = errors.Join(err, lan.Plug(name, portOf(cards, i)))
	}
	return errors.Join(err, l.setLinks(ctx, links))
}

// setLinks gives cards their carrier, or takes it. A guest that has the same
// link as before sees nothing.
func (l *life) setLinks(ctx context.Context, links []bool) error {
	now := slices.Clone(l.machine.Cards)
	for i, up := range links {
		if now[i].Link == up {
			continue
		}
		arguments := map[string]any{"name": now[i].name(i), "up": up}
		if _, err := l.monitor.run(ctx, "set_link", arguments); err != nil {
			return err
		}
		now[i].Link = up
	}
	l.machine.Cards = now
	return nil
}
