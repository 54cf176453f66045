// Package guest says what a virtual machine's guest is to the simulator: the
// Backend that starts it, and the Host through which it reaches its VM.
//
// It holds no guest itself; the neighbours qemu and native do. Package vcenter
// ties the life of VMs to guests.
package guest

import (
	"context"
	"errors"
	"time"

	"vch.dev/e2e/simulator/lan"
)

// ErrNotFrozen is returned by Backend.InstantClone for a source that is not at
// its freeze point, where the backend cannot clone a running guest. The task
// fails with NotSupported then.
var ErrNotFrozen = errors.New("the source is not frozen")

// States of a guest, for Stats.
const (
	Booting = "booting"
	Running = "running"
	Frozen  = "frozen"
	Off     = "off"
)

// Card is a network card of a VM.
type Card struct {
	MAC  string
	Port lan.Port
}

// VM is what a backend needs to know of a virtual machine.
type VM struct {
	ID       string // managed object ID, e.g. vm-52
	Name     string
	CPUs     int
	MemoryMB int
	Cards    []Card // its network cards, in their order
	Dir      string // a folder for this VM alone; it exists, and goes after Destroy
}

// Host is what a guest can ask of its virtual machine. Backends get one with
// every start. Its methods may be called from any goroutine, also while
// PowerOn or InstantClone runs; none waits for a task on the VM. After
// PowerOff, Destroy, or a start that failed, what a guest still says is dropped.
type Host interface {
	// InfoGet reads extraConfig; keys outside guestinfo.* are never told.
	InfoGet(key string) (string, bool)
	// InfoSet writes a guestinfo.* key and notifies property collectors.
	InfoSet(key, value string) error
	// Frozen says that the guest has stopped at its freeze point and that its
	// state is kept: runtime.instantCloneFrozen becomes true.
	Frozen() error
	// Exited says that the guest ended by itself; the VM becomes powered off.
	Exited(err error)
}

// Stats describes a guest as it is now.
type Stats struct {
	PID          int    `json:"pid"`
	Processes    []int  `json:"processes"`
	Guest        string `json:"guest"`
	State        string `json:"state"`
	Accelerator  string `json:"accelerator,omitempty"` // of a QEMU guest: kvm or tcg
	RAMBytes     int64  `json:"ramBytes"`              // configured size
	PrivateBytes int64  `json:"privateBytes"`          // of the RAM mapping (qemu), of all processes (native)
	PssBytes     int64  `json:"pssBytes"`              // likewise
	// SharedBytes is what of the same memory others use, too; ConsumedBytes what
	// the guest costs beyond what is charged to others (a clone's source has what
	// the clone shares with it).
	SharedBytes   int64 `json:"sharedBytes"`
	ConsumedBytes int64 `json:"consumedBytes"`
	// ChangedBytes is what a frozen clone has changed of its source's RAM; the
	// backend may hold more for it than that.
	ChangedBytes int64                `json:"changedBytes,omitempty"`
	Timings      map[string]time.Time `json:"timings"` // spawned, running, firstRPC, frozen, ...
}

// Guest is one started guest. Calls for one guest do not overlap, except Stats
// and Killer.Kill.
type Guest interface {
	// PowerOff ends every process of the guest; what it wrote to disk stays, for
	// a later Backend.PowerOn of the same VM. It does nothing to a guest that is
	// off.
	PowerOff(ctx context.Context) error
	// Destroy powers off and removes everything. What clones still need stays, in
	// a folder of the backend's own: VM.Dir is removed.
	Destroy(ctx context.Context) error
	// Reset boots the guest again from its disk, without its memory.
	Reset(ctx context.Context) error
	// Connect plugs the network cards of a running guest into the ports that they
	// are in from now on; their number and addresses do not change. Of a guest that
	// is frozen or off it does nothing but to remember them.
	Connect(ctx context.Context, cards []Card) error
	// Stats may be called at any time.
	Stats() (Stats, error)
}

// Killer is a Guest that can be made to crash: all its processes end at once
// and Host.Exited follows. Without it the control endpoint kills Stats().PID.
type Killer interface {
	Kill() error
}

// Scripted is a Guest, or a Backend for all of its, that behaves as it is told
// to: a JSON object that is the backend's to understand.
type Scripted interface {
	Follow(script []byte) error
}

// Backend makes guests of one kind.
type Backend interface {
	// Name is the value of extraConfig sim.guest that chooses it.
	Name() string
	// PowerOn boots a guest from its disk and returns when it was started, not
	// when it has booted. The VM may have had a guest before, also one made by
	// InstantClone: its disk is in VM.Dir.
	PowerOn(ctx context.Context, vm VM, host Host) (Guest, error)
	// InstantClone starts a copy-on-write copy of src and returns when it runs.
	// Calls for one src overlap.
	InstantClone(ctx context.Context, src Guest, vm VM, host Host) (Guest, error)
	// Close ends every guest: no process, mount, tap or cgroup stays.
	Close() error
}
