package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// errMonitorClosed is what commands get whose QEMU has ended.
var errMonitorClosed = errors.New("QEMU has ended")

// monitor speaks QMP, QEMU's control protocol, with one QEMU process.
type monitor struct {
	stream *net.UnixConn

	sending sync.Mutex // one command at a time
	replies chan reply

	mutex    sync.Mutex
	watchers map[chan event]struct{}
	closed   chan struct{}
}

type event struct {
	Name string
	Data json.RawMessage
}

type reply struct {
	value json.RawMessage
	err   error
}

// dialMonitor negotiates QMP on a stream. It returns when QEMU has set itself up
// and takes commands.
func dialMonitor(ctx context.Context, stream *net.UnixConn) (*monitor, error) {
	m := &monitor{
		stream: stream, replies: make(chan reply, 1), watchers: map[chan event]struct{}{}, closed: make(chan struct{}),
	}
	go m.read()
	// The greeting needs no waiting for: QEMU reads commands after sending it.
	if _, err := m.run(ctx, "qmp_capabilities", nil); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

func (m *monitor) close() { _ = m.stream.Close() }

// run executes a command and returns what it returned. Files go along with it.
func (m *monitor) run(ctx context.Context, command string, arguments any, files ...*os.File) (json.RawMessage, error) {
	m.sending.Lock()
	defer m.sending.Unlock()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	line, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	if _, _, err := m.stream.WriteMsgUnix(append(line, '\n'), rights(files), nil); err != nil {
		return nil, fmt.Errorf("QMP %s: %w", command, errMonitorClosed)
	}
	select {
	case got := <-m.replies:
		if got.err != nil {
			return nil, fmt.Errorf("QMP %s: %w", command, got.err)
		}
		return got.value, nil
	case <-m.closed:
		return nil, fmt.Errorf("QMP %s: %w", command, errMonitorClosed)
	case <-ctx.Done():
		m.close() // the reply would be taken for the next command's
		return nil, fmt.Errorf("QMP %s: %w", command, ctx.Err())
	}
}

// watch returns the events from now on, until stop is called.
func (m *monitor) watch() (events <-chan event, stop func()) {
	channel := make(chan event, 64)
	m.mutex.Lock()
	m.watchers[channel] = struct{}{}
	m.mutex.Unlock()
	return channel, func() {
		m.mutex.Lock()
		delete(m.watchers, channel)
		m.mutex.Unlock()
	}
}

func (m *monitor) read() {
	defer close(m.closed)
	decoder := json.NewDecoder(m.stream)
	for {
		var message struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Description string `json:"desc"`
			} `json:"error"`
			Event string          `json:"event"`
			Data  json.RawMessage `json:"data"`
		}
		if err := decoder.Decode(&message); err != nil {
			return
		}
		switch {
		case message.Event != "":
			m.tell(event{message.Event, message.Data})
		case message.Error != nil:
			m.replies <- reply{err: errors.New(message.Error.Description)}
		case message.Return != nil:
			m.replies <- reply{value: message.Return}
		}
	}
}

func (m *monitor) tell(told event) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	for watcher := range m.watchers {
		select {
		case watcher <- told:
		default: // nobody waits for this many events
		}
	}
}

// untilRunning returns when the virtual CPUs run.
func (m *monitor) untilRunning(ctx context.Context) error {
	events, stop := m.watch()
	defer stop()
	answer, err := m.run(ctx, "query-status", nil)
	if err != nil {
		return err
	}
	var status struct {
		Running bool `json:"running"`
	}
	if err := json.Unmarshal(answer, &status); err != nil {
		return fmt.Errorf("QMP query-status: %w", err)
	}
	for !status.Running {
		select {
		case told := <-events:
			status.Running = told.Name == "RESUME"
		case <-m.closed:
			return errMonitorClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// migrate writes the machine's state to a file and returns when all of it is
// written. RAM in shared memory is left out.
//
// The machine is not stopped before it: QEMU does that itself, and then writes
// that it ran, so that who loads the state runs at once.
func (m *monitor) migrate(ctx context.Context, to *os.File) error {
	if err := m.setCapabilities(ctx, "x-ignore-shared", "events"); err != nil {
		return err
	}
	if _, err := m.run(ctx, "getfd", map[string]any{"fdname": "state"}, to); err != nil {
		return err
	}
	events, stop := m.watch()
	defer stop()
	if _, err := m.run(ctx, "migrate", map[string]any{"uri": "fd:state"}); err != nil {
		return err
	}
	for {
		select {
		case told := <-events:
			if told.Name != "MIGRATION" {
				continue
			}
			var data struct {
				Status string `json:"status"`
			}
			if err := json.Unmarshal(told.Data, &data); err != nil {
				return fmt.Errorf("QMP MIGRATION: %w", err)
			}
			switch data.Status {
			case "completed":
				return nil
			case "failed", "cancelled":
				return fmt.Errorf("saving the machine's state %s", data.Status)
			}
		case <-m.closed:
			return errMonitorClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// saveDevices stops the machine and writes the state of its devices to a new
// file, without its RAM: `migrate` leaves out RAM in shared memory only, and a
// clone's is private. The command is named for its first user; nothing of it
// is Xen's. As after migrate, who loads the state runs at once, and the disk is
// written back.
func (m *monitor) saveDevices(ctx context.Context, path string) error {
	if _, err := m.run(ctx, "stop", nil); err != nil {
		return err
	}
	_, err := m.run(ctx, "xen-save-devices-state", map[string]any{"filename": path, "live": true})
	return err
}

// load makes a machine that waits for it take its state from a descriptor that
// QEMU inherited, and run. It returns before that is done, see untilRunning.
func (m *monitor) load(ctx context.Context, descriptor int) error {
	// No option of the command line sets this capability.
	if err := m.setCapabilities(ctx, "x-ignore-shared"); err != nil {
		return err
	}
	_, err := m.run(ctx, "migrate-incoming", map[string]any{"uri": fmt.Sprintf("fd:%d", descriptor)})
	return err
}

func (m *monitor) setCapabilities(ctx context.Context, names ...string) error {
	capabilities := make([]map[string]any, len(names))
	for i, name := range names {
		capabilities[i] = map[string]any{"capability": name, "state": true}
	}
	_, err := m.run(ctx, "migrate-set-capabilities", map[string]any{"capabilities": capabilities})
	return err
}

func rights(files []*os.File) []byte {
	if len(files) == 0 {
		return nil
	}
	descriptors := make([]int, len(files))
	for i, file := range files {
		descriptors[i] = int(file.Fd())
	}
	return unix.UnixRights(descriptors...)
}
