// Package simulator is govmomi's; this file shows VMs' events as Modes.Events
// says. Which events an instant clone gives is not documented, so that nobody
// may depend on them.
package simulator

import (
	"reflect"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/types"
)

// heldFor is how long an event waits for one that overtakes it.
const heldFor = 50 * time.Millisecond

var heldEvents struct {
	sync.Mutex
	events []types.BaseEvent
}

func (c *Context) postEvent(events ...types.BaseEvent) {
	mode := CurrentModes().Events
	if mode == "full" {
		c.upstreampostEvent(events...)
		return
	}
	var posted []types.BaseEvent
	for _, event := range events {
		if _, ofVM := event.(types.BaseVmEvent); !ofVM {
			posted = append(posted, event)
			continue
		}
		switch mode {
		case "duplicated":
			posted = append(posted, event, copiedEvent(event))
		case "reordered":
			posted = append(posted, overtake(c, event)...)
		}
	}
	c.upstreampostEvent(posted...)
}

// copiedEvent has a key of its own when it is posted.
func copiedEvent(event types.BaseEvent) types.BaseEvent {
	twin := reflect.New(reflect.TypeOf(event).Elem())
	twin.Elem().Set(reflect.ValueOf(event).Elem())
	return twin.Interface().(types.BaseEvent)
}

// overtake holds every other event until the next one, or a little while.
func overtake(ctx *Context, event types.BaseEvent) []types.BaseEvent {
	heldEvents.Lock()
	defer heldEvents.Unlock()
	if len(heldEvents.events) > 0 {
		both := append([]types.BaseEvent{event}, heldEvents.events...)
		heldEvents.events = nil
		return both
	}
	heldEvents.events = []types.BaseEvent{event}
	later := ctx.Fresh()
	time.AfterFunc(heldFor, func() {
		heldEvents.Lock()
		held := heldEvents.events
		heldEvents.events = nil
		heldEvents.Unlock()
		if len(held) > 0 {
			later.upstreampostEvent(held...)
		}
	})
	return nil
}
