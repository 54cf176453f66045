// Package rpc is the simulator's end of vmware-rpctool: it answers the commands
// that a guest sends over a byte stream (a virtio-serial port or a unix socket).
//
// One JSON object a line, {"id","command"} there, {"id","ok","value"} back. The
// guest's end is cmd/vmware-rpctool.
package rpc

import (
	"bufio"
	"encoding/json"
	"io"
	"slices"
	"strings"

	"vch.dev/e2e/simulator/guest"
)

// MessageLimit is VMware Tools' limit for one message (GUESTMSG_MAX_IN_SIZE of
// open-vm-tools).
const MessageLimit = 64 << 10

const (
	infoGet = "info-get "
	infoSet = "info-set "
	freeze  = "instantclone.freeze"
)

// Request is one command of a guest.
type Request struct {
	ID      string `json:"id"`
	Command string `json:"command"`
}

// Reply answers the request of the same ID.
type Reply struct {
	ID    string `json:"id"`
	OK    bool   `json:"ok"`
	Value string `json:"value"`
}

// MACs are the addresses of cards, for a Session.
func MACs(cards []guest.Card) []string {
	addresses := make([]string, len(cards))
	for i, card := range cards {
		addresses[i] = card.MAC
	}
	return addresses
}

// Session answers one guest.
type Session struct {
	Host guest.Host
	// MACs are the addresses of the VM's network cards in vSphere's view, told
	// under macKeys: a clone's cards still have its parent's.
	MACs []string
	// Freeze is called with the request's ID when the guest asks to be frozen.
	// The reply is written by whoever thaws the guest.
	Freeze func(id string)
	// Seen, if set, is called for every request.
	Seen func(command string)
}

// Serve answers requests until the stream ends.
func (s *Session) Serve(stream io.ReadWriter) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(make([]byte, 0, 4096), 2*MessageLimit)
	for lines.Scan() {
		var request Request
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			continue // the rest of a line that a crash of the guest cut off
		}
		if s.Seen != nil {
			s.Seen(request.Command)
		}
		if request.Command == freeze {
			s.Freeze(request.ID)
			continue
		}
		if err := Write(stream, s.answer(request)); err != nil {
			return err
		}
	}
	return lines.Err()
}

// Write sends one reply.
func Write(stream io.Writer, reply Reply) error {
	line, err := json.Marshal(reply)
	if err != nil {
		return err
	}
	_, err = stream.Write(append(line, '\n'))
	return err
}

func (s *Session) answer(request Request) Reply {
	reply := Reply{ID: request.ID}
	switch command := request.Command; {
	case len(command) > MessageLimit:
		reply.Value = "Message too large"
	case strings.HasPrefix(command, infoGet):
		reply.Value, reply.OK = s.get(strings.TrimPrefix(command, infoGet))
	case strings.HasPrefix(command, infoSet):
		key, value, _ := strings.Cut(strings.TrimPrefix(command, infoSet), " ")
		if err := s.Host.InfoSet(key, value); err != nil {
			reply.Value = err.Error()
		} else {
			reply.OK = true
		}
	default:
		reply.Value = "Unknown command"
	}
	return reply
}

// macKeys are those of the first card, which is on the management network, and
// of the second one, which is the pod's.
var macKeys = []string{"guestinfo.vch.mac", "guestinfo.vch.podMac"}

func (s *Session) get(key string) (string, bool) {
	if card := slices.Index(macKeys, key); card >= 0 {
		if card < len(s.MACs) {
			return s.MACs[card], true
		}
		return "No value found", false
	}
	if value, ok := s.Host.InfoGet(key); ok {
		return value, true
	}
	return "No value found", false
}
