// Package simulator is govmomi's; this file replaces Task.Run. Tasks can be
// made to fail, and those that start or end a guest run without the entity's
// lock, so that the VM stays readable meanwhile.
package simulator

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/types"
)

// TaskFault makes the first task that a call starts go wrong.
type TaskFault struct {
	Delay time.Duration
	Fault types.BaseMethodFault // nil: only the delay
	After bool                  // the task does its work, and fails all the same
}

type taskFaultKey struct{}

// WithTaskFault attaches a TaskFault to a call.
func WithTaskFault(r *http.Request, fault *TaskFault) *http.Request {
	pending := new(atomic.Pointer[TaskFault])
	pending.Store(fault)
	return r.WithContext(context.WithValue(r.Context(), taskFaultKey{}, pending))
}

func takeTaskFault(ctx *Context) *TaskFault {
	if ctx.req == nil {
		return nil
	}
	pending, ok := ctx.req.Context().Value(taskFaultKey{}).(*atomic.Pointer[TaskFault])
	if !ok {
		return nil
	}
	return pending.Swap(nil)
}

// Run starts the task, which holds its entity's lock on behalf of ctx.
func (t *Task) Run(ctx *Context) types.ManagedObjectReference {
	entity := &taskReference{Self: *t.Info.Entity}
	return t.start(ctx, func(run func()) { ctx.Map.WithLock(ctx, entity, run) })
}

// runUnlocked starts the task on behalf of work, which has to be a context of
// the task's own; the task takes the locks that it needs.
func (t *Task) runUnlocked(ctx, work *Context) types.ManagedObjectReference {
	work.req = ctx.req
	return t.start(work, func(run func()) { run() })
}

func (t *Task) start(ctx *Context, hold func(run func())) types.ManagedObjectReference {
	if ctx.Map.Path != vim25.Path {
		ctx = ctx.For(vim25.Path) // all tasks live in the vim25 namespace
	}
	t.ctx = ctx
	t.Self = ctx.Map.newReference(t)
	t.Info.Key = t.Self.Value
	t.Info.Task = t.Self
	if ctx.Session != nil {
		t.Info.Reason = &types.TaskReasonUser{UserName: ctx.Session.UserName}
	}
	injected := takeTaskFault(ctx)
	ctx.Map.Put(t)
	begin := func() {
		ctx.Map.AtomicUpdate(ctx, t, []types.PropertyChange{
			{Name: "info.startTime", Val: time.Now()},
			{Name: "info.state", Val: types.TaskInfoStateRunning},
		})
	}
	queued := !runningTasks.tryEnter()
	if !queued {
		begin()
	}
	go func() {
		if queued {
			runningTasks.enter()
			begin()
		}
		defer runningTasks.leave()
		TaskDelay.delay(t.Info.Name)
		if injected != nil {
			time.Sleep(injected.Delay)
			if injected.Fault != nil && !injected.After {
				t.finish(nil, injected.Fault)
				return
			}
		}
		var result types.AnyType
		var fault types.BaseMethodFault
		hold(func() { result, fault = t.Execute(t) })
		if injected != nil && injected.Fault != nil && fault == nil {
			result, fault = nil, injected.Fault
		}
		t.finish(result, fault)
	}()
	return t.Self
}

func (t *Task) finish(result types.AnyType, fault types.BaseMethodFault) {
	changes := []types.PropertyChange{
		{Name: "info.completeTime", Val: time.Now()},
		{Name: "info.result", Val: result},
		{Name: "info.state", Val: types.TaskInfoStateSuccess},
	}
	if fault != nil {
		changes = append(changes[:1], types.PropertyChange{Name: "info.error", Val: types.LocalizedMethodFault{
			Fault: fault, LocalizedMessage: localized(fault),
		}}, types.PropertyChange{Name: "info.state", Val: types.TaskInfoStateError})
	}
	t.ctx.Map.AtomicUpdate(t.ctx, t, changes)
}

func (t *Task) progress(percent int32) {
	t.ctx.Map.AtomicUpdate(t.ctx, t, []types.PropertyChange{{Name: "info.progress", Val: percent}})
}

// localized is the message of a fault, as people see it in vSphere's clients.
func localized(fault types.BaseMethodFault) string {
	switch f := fault.(type) {
	case *types.DuplicateName:
		return fmt.Sprintf("The name '%s' already exists.", f.Name)
	case *types.InvalidArgument:
		return fmt.Sprintf("A specified parameter was not correct: %s", f.InvalidProperty)
	case *types.InvalidName:
		return fmt.Sprintf("The name '%s' is invalid.", f.Name)
	case *types.InvalidPowerState:
		return fmt.Sprintf("The attempted operation cannot be performed in the current state (%s).", f.ExistingState)
	case *types.TaskInProgress:
		return "Another task is already in progress."
	case *types.GenericVmConfigFault:
		return f.Reason
	case *types.SystemError:
		return f.Reason
	}
	if cause := fault.GetMethodFault().FaultCause; cause != nil {
		return cause.LocalizedMessage
	}
	return reflect.TypeOf(fault).Elem().Name()
}
