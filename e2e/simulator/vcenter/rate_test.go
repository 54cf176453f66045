package vcenter

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vmware/govmomi/property"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

const (
	ratedClones  = 900
	ratedClients = 16
)

// It prints how many clones a second are made, also with a client that watches
// all VMs as the operator does, and of two parents whose clones do not wait for
// each other.
func TestManyClonesAreMadeSideBySide(t *testing.T) {
	for _, parents := range []int{1, 2} {
		for _, watched := range []bool{false, true} {
			t.Run(fmt.Sprintf("parents=%d,watched=%t", parents, watched), func(t *testing.T) {
				rate(t, parents, watched)
			})
		}
	}
}

func rate(t *testing.T, parents int, watched bool) {
	l := start(t)
	sources := []types.ManagedObjectReference{l.parent.Reference()}
	for len(sources) < parents {
		sources = append(sources, l.makeParent(fmt.Sprint("parent-", len(sources))).Reference())
	}
	for _, source := range sources {
		vm := l.vcenter.Machines.ctx.Map.Get(source).(*simulator.VirtualMachine)
		ctx := l.vcenter.Machines.ctx.Fresh()
		ctx.WithLock(vm, func() { vm.GuestFrozen(ctx) })
	}
	if watched {
		l.watchAll()
	}
	began := time.Now()
	tasks := make(chan types.ManagedObjectReference, ratedClones)
	var clients sync.WaitGroup
	for client := range ratedClients {
		clients.Go(func() {
			for i := client; i < ratedClones; i += ratedClients {
				called, err := methods.InstantClone_Task(l.ctx, l.client.Client, &types.InstantClone_Task{
					This: sources[i%len(sources)], Spec: types.VirtualMachineInstantCloneSpec{Name: fmt.Sprint("clone-", i)},
				})
				if err != nil {
					t.Error(err)
					return
				}
				tasks <- called.Returnval
			}
		})
	}
	clients.Wait()
	close(tasks)
	for ref := range tasks {
		l.eventually("the clone is made", func() bool { return l.succeeded(ref) })
	}
	took := time.Since(began)
	t.Logf("%d clones in %s: %.0f/s", ratedClones, took.Round(time.Millisecond), ratedClones/took.Seconds())
}

func (l *lab) succeeded(ref types.ManagedObjectReference) (done bool) {
	task := l.vcenter.Machines.ctx.Map.Get(ref).(*simulator.Task)
	ctx := l.vcenter.Machines.ctx.Fresh()
	ctx.WithLock(task, func() {
		if task.Info.State == types.TaskInfoStateError {
			l.Error(task.Info.Error.LocalizedMessage)
		}
		done = task.Info.State == types.TaskInfoStateSuccess || task.Info.State == types.TaskInfoStateError
	})
	return done
}

// watchAll reads what changes of any VM until the test ends.
func (l *lab) watchAll() {
	l.Helper()
	viewed, err := view.NewManager(l.client.Client).CreateContainerView(
		l.ctx, l.client.ServiceContent.RootFolder, []string{"VirtualMachine"}, true)
	must(l.T, err)
	filter := new(property.WaitFilter).Add(viewed.Reference(), "VirtualMachine",
		[]string{"name", "runtime.powerState", "config.extraConfig"}, viewed.TraversalSpec())
	go func() {
		_ = property.WaitForUpdates(l.ctx, property.DefaultCollector(l.client.Client), filter,
			func([]types.ObjectUpdate) bool { return false })
	}()
}
