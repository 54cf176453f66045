// Package simulator is govmomi's; this file replaces the waiting half of its
// PropertyCollector: WaitForUpdatesEx and what feeds it.
//
// Upstream's forgets objects that left while a view changed, sends all objects
// of a view again when one is added to it, collects every object for each
// change, and holds a filter's lock while it waits for objects' (a deadlock
// with a clone that notifies the filter). Here each filter remembers what it
// told, and tells the difference: entered, modified, left.
package simulator

import (
	"context"
	"strconv"
	"time"

	"github.com/vmware/govmomi/simulator/internal"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// collectorWatch is what a PropertyCollector has to look at when it is next
// asked. Guarded by the collector's mutex, except the fields of the one call
// that waits.
type collectorWatch struct {
	registered bool
	changed    references
	reshaped   bool // objects came or went
	wake       chan struct{}

	busy    chan struct{} // held by the call that waits: one at a time
	version int
	last    *types.UpdateSet // what version was given for: sent again if the reply was lost
}

// PutObject implements RegisterObject.
func (pc *PropertyCollector) PutObject(_ *Context, o mo.Reference) { pc.touch(o.Reference(), true) }

// UpdateObject implements RegisterObject.
func (pc *PropertyCollector) UpdateObject(_ *Context, o mo.Reference, _ []types.PropertyChange) {
	pc.touch(o.Reference(), false)
}

// RemoveObject implements RegisterObject.
func (pc *PropertyCollector) RemoveObject(_ *Context, ref types.ManagedObjectReference) {
	pc.touch(ref, true)
}

// touch is called with the object's lock held: it must not wait.
func (pc *PropertyCollector) touch(ref types.ManagedObjectReference, reshaped bool) {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	pc.prepare()
	pc.watch.changed[ref] = struct{}{}
	pc.watch.reshaped = pc.watch.reshaped || reshaped
	pc.wakeUp()
}

func (pc *PropertyCollector) prepare() {
	if pc.watch.wake == nil {
		pc.watch.wake = make(chan struct{}, 1)
		pc.watch.busy = make(chan struct{}, 1)
		pc.watch.changed = references{}
	}
}

func (pc *PropertyCollector) wakeUp() {
	select {
	case pc.watch.wake <- struct{}{}:
	default:
	}
}

// CreateFilter is told to a call that waits already.
func (pc *PropertyCollector) CreateFilter(ctx *Context, req *types.CreateFilter) soap.HasFault {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	pc.prepare()
	body := pc.upstreamCreateFilter(ctx, req)
	pc.wakeUp()
	return body
}

// DestroyPropertyFilter is upstream's, under the collector's mutex.
func (f *PropertyFilter) DestroyPropertyFilter(ctx *Context, req *types.DestroyPropertyFilter) soap.HasFault {
	f.pc.mu.Lock()
	defer f.pc.mu.Unlock()
	return f.upstreamDestroyPropertyFilter(ctx, req)
}

// WaitForUpdatesEx answers with what has changed since req.Version.
func (pc *PropertyCollector) WaitForUpdatesEx(ctx *Context, req *types.WaitForUpdatesEx) soap.HasFault {
	body := new(methods.WaitForUpdatesExBody)
	wait, cancel := pc.deadline(ctx, req.Options)
	defer cancel()
	pc.mu.Lock()
	pc.prepare()
	pc.cancel = cancel
	if !pc.watch.registered {
		pc.watch.registered = true
		ctx.Map.AddHandler(pc)
	}
	pc.mu.Unlock()
	select {
	case pc.watch.busy <- struct{}{}:
	default: // maxWaitSeconds may be 0: look first, wait then
		select {
		case pc.watch.busy <- struct{}{}:
		case <-wait.Done():
			return pc.unanswered(ctx, wait, body)
		}
	}
	defer func() { <-pc.watch.busy }()
	set, fault := pc.await(ctx, wait, req)
	switch {
	case fault != nil:
		body.Fault_ = Fault("", fault)
	case set == nil:
		return pc.unanswered(ctx, wait, body)
	default:
		body.Res = &types.WaitForUpdatesExResponse{Returnval: set}
	}
	return body
}

// deadline is when the call ends without an update: at maxWaitSeconds, when it
// is cancelled, or when the client has gone.
func (pc *PropertyCollector) deadline(ctx *Context, options *types.WaitOptions) (context.Context, context.CancelFunc) {
	parent := context.Background()
	if ctx.req != nil {
		parent = ctx.req.Context()
	}
	if options != nil && options.MaxWaitSeconds != nil {
		return context.WithTimeout(parent, time.Duration(*options.MaxWaitSeconds)*time.Second)
	}
	return context.WithCancel(parent)
}

func (pc *PropertyCollector) unanswered(
	ctx *Context, wait context.Context, body *methods.WaitForUpdatesExBody,
) soap.HasFault {
	if gone := ctx.req != nil && ctx.req.Context().Err() != nil; wait.Err() == context.Canceled && !gone {
		body.Fault_ = Fault("", new(types.RequestCanceled)) // CancelWaitForUpdates
		return body
	}
	body.Res = new(types.WaitForUpdatesExResponse)
	return body
}

// await is called by one call at a time. It answers nil when wait has ended.
func (pc *PropertyCollector) await(
	ctx *Context, wait context.Context, req *types.WaitForUpdatesEx,
) (*types.UpdateSet, types.BaseMethodFault) {
	watch := &pc.watch
	limit := defaultMaxObjectUpdates
	if req.Options != nil && req.Options.MaxObjectUpdates > 0 {
		limit = min(limit, int(req.Options.MaxObjectUpdates))
	}
	switch req.Version {
	case "":
		pc.forget(ctx)
	case strconv.Itoa(watch.version):
	case strconv.Itoa(watch.version - 1):
		if watch.last != nil {
			return watch.last, nil // the client has not got the last answer
		}
		fallthrough
	default:
		return nil, new(types.InvalidCollectorVersion)
	}
	for {
		set := pc.pending
		if pc.pending = nil; set == nil {
			var fault types.BaseMethodFault
			if set, fault = pc.difference(ctx); fault != nil {
				return nil, fault
			}
		}
		if len(set.FilterSet) > 0 || req.Version == "" {
			pc.pending = pageUpdateSet(set, limit)
			watch.version++
			set.Version = strconv.Itoa(watch.version)
			watch.last = set
			return set, nil
		}
		select {
		case <-watch.wake:
			time.Sleep(time.Millisecond) // changes come in groups
		case <-wait.Done():
			return nil, nil
		}
	}
}

// forget makes the next difference the whole state.
func (pc *PropertyCollector) forget(ctx *Context) {
	pc.pending, pc.watch.last = nil, nil
	for _, filter := range pc.filters(ctx) {
		filter.view = filterView{}
	}
}

func (pc *PropertyCollector) filters(ctx *Context) []*PropertyFilter {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	var filters []*PropertyFilter
	for _, ref := range pc.Filter {
		if filter, ok := ctx.Session.Get(ref).(*PropertyFilter); ok {
			filters = append(filters, filter)
		}
	}
	return filters
}

func (pc *PropertyCollector) difference(ctx *Context) (*types.UpdateSet, types.BaseMethodFault) {
	pc.mu.Lock()
	changed, reshaped := pc.watch.changed, pc.watch.reshaped
	pc.watch.changed, pc.watch.reshaped = references{}, false
	pc.mu.Unlock()
	set := new(types.UpdateSet)
	for _, filter := range pc.filters(ctx) {
		updates, fault := filter.difference(ctx, changed, reshaped)
		if fault != nil {
			return nil, fault
		}
		if len(updates) > 0 {
			set.FilterSet = append(set.FilterSet, types.PropertyFilterUpdate{Filter: filter.Self, ObjectSet: updates})
		}
	}
	return set, nil
}

// Fetch is upstream's, except that a property that is not set is no error.
func (pc *PropertyCollector) Fetch(ctx *Context, req *internal.Fetch) soap.HasFault {
	answer := pc.upstreamFetch(ctx, req)
	if answer.Fault() == nil {
		if _, ok := answer.(*internal.FetchBody); !ok {
			return &internal.FetchBody{Res: new(internal.FetchResponse)}
		}
	}
	return answer
}
