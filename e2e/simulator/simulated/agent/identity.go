// Package agent is what guest/vch_agent says and understands of guestinfo, in
// Go: who a clone is, what a parent is told, the reports of both, and the
// certificate that a clone makes. It has no connections and starts nothing.
package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
)

// Keys of guestinfo.
const (
	IdentityKey = "guestinfo.vch.identity"
	ParentKey   = "guestinfo.vch.parent"
	ReportKey   = "guestinfo.vch.report"
)

// Version is said of the agent and its pretended neighbours, so that nobody
// takes them for real ones.
const Version = "0.1.0-simulated"

// Identity is who a clone is.
type Identity struct {
	CloneID string `json:"cloneId"`
	// Pod is nil as long as a standby clone has none.
	Pod *struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
		UID       string `json:"uid"`
	} `json:"pod"`
	Node     string       `json:"node"`
	Address  netip.Prefix `json:"address"`
	ClientCA string       `json:"clientCA"`
}

// ParseIdentity reads the value of IdentityKey. Errors name the field.
func ParseIdentity(value string) (Identity, error) {
	var who Identity
	if err := json.Unmarshal([]byte(value), &who); err != nil {
		return who, fmt.Errorf("identity: %w", err)
	}
	for _, field := range []struct {
		name  string
		empty bool
	}{
		{"cloneId", who.CloneID == ""},
		{"node", who.Node == ""},
		{"address", !who.Address.IsValid()},
		{"clientCA", who.ClientCA == ""},
		{"pod.uid", who.Pod != nil && who.Pod.UID == ""},
	} {
		if field.empty {
			return who, errors.New("identity." + field.name + ": is required")
		}
	}
	return who, nil
}

// UID is the Pod's, empty if there is none yet.
func (i Identity) UID() string {
	if i.Pod == nil {
		return ""
	}
	return i.Pod.UID
}

// Binds tells whether the other identity is this one of a standby clone, with
// its Pod.
func (i Identity) Binds(other Identity) bool {
	return i.Pod == nil && other.Pod != nil &&
		i.CloneID == other.CloneID && i.Node == other.Node && i.Address == other.Address && i.ClientCA == other.ClientCA
}

// Phases that a clone reports.
const (
	Ready   = "Ready"
	Refused = "Refused"
)

// Report is the value of ReportKey of a clone.
func Report(who Identity, phase, fingerprint string, port int, message string) string {
	address := ""
	if who.Address.IsValid() {
		address = who.Address.Addr().String()
	}
	return encoded(struct {
		CloneID     string `json:"cloneId"`
		Phase       string `json:"phase"`
		Fingerprint string `json:"fingerprint"`
		Address     string `json:"address"`
		Port        int    `json:"port"`
		Message     string `json:"message"`
	}{who.CloneID, phase, fingerprint, address, port, message})
}

func encoded(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}
