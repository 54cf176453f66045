package vcenter

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// When a fault strikes.
const (
	Before    = "before"     // nothing is done, the call or its task fails
	After     = "after"      // it is done, and the call or its task fails all the same
	ReplyLost = "reply-lost" // it is done, and the connection breaks instead of a reply
)

// Fault is a rule for calls to go wrong. A method that starts a task fails in
// its task, as vSphere's do, except for the faults of callFaults.
type Fault struct {
	ID          string  `json:"id"`
	Method      string  `json:"method"`                // SOAP method, e.g. InstantClone_Task
	Object      string  `json:"object,omitempty"`      // managed object ID; empty: any
	Fault       string  `json:"fault,omitempty"`       // vim type; empty: only the delay
	Count       int     `json:"count,omitempty"`       // how often; 0: always
	Probability float64 `json:"probability,omitempty"` // 0: always
	DelayMs     int     `json:"delayMs,omitempty"`     // before anything is done
	When        string  `json:"when,omitempty"`        // default before
}

// callFaults are raised by the call, never by its task.
var callFaults = []string{"NotAuthenticated", "NoPermission", "ManagedObjectNotFound", "MethodNotFound", "HostCommunication"}

// inTask tells whether the rule strikes in the task that the call starts.
func (f *Fault) inTask() bool {
	return strings.HasSuffix(f.Method, "_Task") && f.When != ReplyLost && !slices.Contains(callFaults, f.Fault)
}

func (f *Fault) delay() time.Duration { return time.Duration(f.DelayMs) * time.Millisecond }

// Faults makes calls go wrong on demand, and counts them all.
type Faults struct {
	log *slog.Logger

	mutex sync.Mutex
	last  int
	rules []*Fault
	calls map[string]int
}

func newFaults(log *slog.Logger) *Faults {
	return &Faults{log: log, calls: map[string]int{}}
}

// Add makes a rule; it tells what is wrong with it.
func (f *Faults) Add(rule Fault) (string, error) {
	if rule.When == "" {
		rule.When = Before
	}
	switch {
	case rule.Method == "":
		return "", fmt.Errorf("method: name the SOAP method, e.g. InstantClone_Task")
	case !slices.Contains([]string{Before, After, ReplyLost}, rule.When):
		return "", fmt.Errorf("when: %q is none of %s, %s, %s", rule.When, Before, After, ReplyLost)
	case rule.Fault != "" && newFault(rule.Fault) == nil:
		return "", fmt.Errorf("fault: there is no vim fault type %q", rule.Fault)
	case rule.Fault == "" && rule.When == After:
		return "", fmt.Errorf("fault: name the vim fault type, e.g. SystemError")
	case rule.Fault == "" && rule.When == Before && rule.DelayMs == 0:
		return "", fmt.Errorf("fault: name the vim fault type, or a delayMs")
	case rule.DelayMs < 0 || rule.Count < 0 || rule.Probability < 0 || rule.Probability > 1:
		return "", fmt.Errorf("delayMs and count are not below 0, probability is from 0 to 1")
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.last++
	rule.ID = strconv.Itoa(f.last)
	f.rules = append(f.rules, &rule)
	return rule.ID, nil
}

// Remove ends a rule; one that has spent itself is gone already.
func (f *Faults) Remove(id string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.rules = slices.DeleteFunc(f.rules, func(rule *Fault) bool { return rule.ID == id })
}

// Rules lists those in force.
func (f *Faults) Rules() []Fault {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	rules := make([]Fault, 0, len(f.rules))
	for _, rule := range f.rules {
		rules = append(rules, *rule)
	}
	return rules
}

// Calls counts the calls of each method since the start or the last Reset.
func (f *Faults) Calls() map[string]int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return maps.Clone(f.calls)
}

// Reset forgets the counts.
func (f *Faults) Reset() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	clear(f.calls)
}

// called counts a call and tells the rule that it meets.
func (f *Faults) called(method, object string) *Fault {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.calls[method]++
	for i, rule := range f.rules {
		if rule.Method != method || rule.Object != "" && rule.Object != object {
			continue
		}
		if rule.Probability > 0 && rand.Float64() >= rule.Probability {
			continue
		}
		met := *rule
		if rule.Count == 1 {
			f.rules = slices.Delete(f.rules, i, i+1)
		} else if rule.Count > 1 {
			rule.Count--
		}
		f.log.Info("injecting a fault", "method", method, "object", object, "fault", met.Fault, "when", met.When)
		return &met
	}
	return nil
}

func newFault(name string) types.BaseMethodFault {
	kind, ok := types.TypeFunc()(name)
	if !ok || kind.Kind() != reflect.Struct {
		return nil
	}
	fault, _ := reflect.New(kind).Interface().(types.BaseMethodFault)
	return complete(fault)
}

// complete gives a fault the properties that it is never without: clients
// cannot read it otherwise.
func complete(fault types.BaseMethodFault) types.BaseMethodFault {
	switch fault := fault.(type) {
	case *types.TaskInProgress:
		fault.Task = types.ManagedObjectReference{Type: "Task", Value: "task-0"}
	case *types.DuplicateName:
		fault.Object = types.ManagedObjectReference{Type: "VirtualMachine", Value: "vm-0"}
	case *types.DisallowedMigrationDeviceAttached:
		fault.Fault = types.LocalizedMethodFault{Fault: new(types.DeviceNotSupported), LocalizedMessage: "injected"}
	case *types.SystemError:
		return simulator.SystemError(errors.New("injected"))
	}
	return fault
}
