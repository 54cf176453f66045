package vcenter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Site is what VMs are on: hosts and datastores, and how all of it behaves.
type Site struct {
	ctx          *simulator.Context
	defaultModes simulator.Modes
}

// Hosts lists them by name.
func (s *Site) Hosts() []simulator.HostDescription { return simulator.DescribeHosts(s.ctx) }

// ChangeHost brings a host into another state.
func (s *Site) ChangeHost(id string, change simulator.HostChange) error {
	return simulator.ChangeHost(s.ctx.Fresh(), id, change)
}

// Datastore is one for the control endpoint.
type Datastore struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"`
}

// Datastores lists them by name.
func (s *Site) Datastores() []Datastore {
	all := []Datastore{}
	for _, entity := range s.ctx.Map.All("Datastore") {
		ref := entity.Reference()
		all = append(all, Datastore{ref.Value, entity.Entity().Name, simulator.DatastoreState(ref)})
	}
	slices.SortFunc(all, func(a, b Datastore) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// ChangeDatastore brings a datastore into another state.
func (s *Site) ChangeDatastore(id, state string) error {
	ref := types.ManagedObjectReference{Type: "Datastore", Value: id}
	return simulator.SetDatastoreState(s.ctx.Fresh(), ref, state)
}

// ChangeModes lays values in JSON over the modes in force.
func (s *Site) ChangeModes(over json.RawMessage) (simulator.Modes, error) {
	modes := simulator.CurrentModes()
	decoder := json.NewDecoder(bytes.NewReader(over))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&modes); err != nil {
		return modes, fmt.Errorf("modes: %w", err)
	}
	return modes, simulator.SetModes(modes)
}

// ResetModes brings the default ones back.
func (s *Site) ResetModes() { _ = simulator.SetModes(s.defaultModes) }
