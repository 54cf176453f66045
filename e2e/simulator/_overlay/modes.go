// Package simulator is govmomi's; this file has what vSphere's documents leave
// open, or contradict each other about: a client has to cope with each value.
package simulator

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Modes can be changed while the simulator runs.
type Modes struct {
	// Location is what becomes of InstantCloneSpec.location: its own reference
	// allows folder, datastore, pool and edits ("allow"); CheckInstantClone_Task's
	// makes datastore and host InvalidArgument ("reject"); the SDK programming
	// guide says that it is ignored ("ignore").
	Location string `json:"location"`
	// SourceOff is the fault for a source that is not powered on; the reference
	// lists InvalidArgument and InvalidState for it.
	SourceOff string `json:"sourceOff"`
	// DeltaDepth is how many times a source that runs can be cloned: each clone
	// puts one more delta under it, and a chain ends at 255 (KB 67186).
	DeltaDepth int `json:"deltaDepth"`
	// HostVMs is how many VMs a host takes ("Virtual machines per host" of vSphere
	// 8's configuration maximums).
	HostVMs int `json:"hostVMs"`
	// Tasks is how many tasks vCenter runs at once; the others stay queued.
	Tasks int `json:"tasks"`
	// Sessions is how many may be logged in.
	Sessions int `json:"sessions"`

	// ExclusiveMs and ParallelMs are what an instant clone takes on top of its
	// guest's: with the source for itself, and beside others of it.
	ExclusiveMs int `json:"exclusiveMs"`
	ParallelMs  int `json:"parallelMs"`

	// Events is what the event history shows of VMs: "full", "none", or each event
	// "duplicated", or what a task has to say "reordered", last one first.
	Events string `json:"events"`
	// Maintenance is what EnterMaintenanceMode_Task does about running VMs: it waits
	// until they are off ("wait"), lets DRS move them away ("evict"), or does not
	// care ("immediate").
	Maintenance string `json:"maintenance"`

	// Admission refuses what does not fit into a host. Pools' limits always do.
	Admission bool `json:"admission"`
	// OverheadMB is what every running VM takes beside its RAM.
	OverheadMB int `json:"overheadMB"`
	// ClonePercent is how much of its RAM an instant clone has for itself; the
	// rest it shares with its source, until it is booted.
	ClonePercent int `json:"clonePercent"`
	// CPUPercent is how busy a running VM's processors are.
	CPUPercent int `json:"cpuPercent"`
}

// DefaultModes are strict: no client comes to depend on a lenient reading.
func DefaultModes() Modes {
	return Modes{
		Location: "reject", SourceOff: "InvalidState", DeltaDepth: 255, HostVMs: 1024, Tasks: 640, Sessions: 2000,
		Events: "full", Maintenance: "wait", OverheadMB: 32, ClonePercent: 10, CPUPercent: 5,
	}
}

var currentModes atomic.Pointer[Modes]

// CurrentModes are those in force.
func CurrentModes() Modes {
	if modes := currentModes.Load(); modes != nil {
		return *modes
	}
	return DefaultModes()
}

// SetModes changes them, or tells what is wrong with them.
func SetModes(modes Modes) error {
	for name, choice := range map[string]struct {
		value  string
		values []string
	}{
		"location":    {modes.Location, []string{"allow", "reject", "ignore"}},
		"sourceOff":   {modes.SourceOff, []string{"InvalidState", "InvalidArgument"}},
		"events":      {modes.Events, []string{"full", "none", "duplicated", "reordered"}},
		"maintenance": {modes.Maintenance, []string{"wait", "evict", "immediate"}},
	} {
		if !slices.Contains(choice.values, choice.value) {
			return fmt.Errorf("%s: %q is none of %q", name, choice.value, choice.values)
		}
	}
	for name, value := range map[string]int{
		"deltaDepth": modes.DeltaDepth, "hostVMs": modes.HostVMs, "tasks": modes.Tasks - 1, "sessions": modes.Sessions,
		"exclusiveMs": modes.ExclusiveMs, "parallelMs": modes.ParallelMs, "overheadMB": modes.OverheadMB,
		"clonePercent": modes.ClonePercent, "cpuPercent": modes.CPUPercent,
	} {
		if value < 0 {
			return fmt.Errorf("%s: it is too small", name)
		}
	}
	currentModes.Store(&modes)
	ledger.remodel()
	runningTasks.wakeUp()
	return nil
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
