package kubelet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// ScriptAnnotation is where a Pod says how its kubelet is to pretend: a Script
// in JSON. What it leaves out is as the VM's, or the simulator's, script says.
const ScriptAnnotation = "sim.vch.dev/script"

// Script is how a kubelet pretends. The zero Script: containers run at once,
// for ever, and end at once when they are asked to.
type Script struct {
	// StartMs is how long containers are being created.
	StartMs int `json:"startMs,omitempty"`
	// RunMs is how long they run; without it they run for ever.
	RunMs *int `json:"runMs,omitempty"`
	// ExitCode is what they end with after RunMs.
	ExitCode int `json:"exitCode,omitempty"`
	// StopMs is how long they take to end when the Pod is deleted. Beyond the
	// Pod's grace period they are killed.
	StopMs int `json:"stopMs,omitempty"`
	// SlowMs is how long each request to the cluster, and each answer of the
	// kubelet's API, is held back.
	SlowMs int `json:"slowMs,omitempty"`
	// LostMs after containers have started nothing answers any more.
	LostMs *int `json:"lostMs,omitempty"`
	// CrashMs after containers have started the guest ends, and its VM is off.
	CrashMs *int `json:"crashMs,omitempty"`
	// Events are reported when containers start.
	Events bool `json:"events,omitempty"`
}

// Over is the script with what the JSON says in place of its own. Unknown fields
// and negative times are errors.
func (s Script) Over(text []byte) (Script, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return s, fmt.Errorf("script: %w", err)
	}
	for name, value := range map[string]*int{
		"startMs": &s.StartMs, "runMs": s.RunMs, "stopMs": &s.StopMs, "slowMs": &s.SlowMs,
		"lostMs": s.LostMs, "crashMs": s.CrashMs,
	} {
		if value != nil && *value < 0 {
			return s, fmt.Errorf("script: %s is negative", name)
		}
	}
	if s.ExitCode < 0 || s.ExitCode > 255 {
		return s, fmt.Errorf("script: exitCode is not from 0 to 255")
	}
	return s, nil
}

// Slow is how long answers are held back.
func (s Script) Slow() time.Duration { return milliseconds(s.SlowMs) }

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }
