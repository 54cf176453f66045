package qemu

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vch.dev/e2e/simulator/child"
)

// graceful is how long QEMU has to write back what it holds of a disk.
const graceful = 3 * time.Second

// process is one QEMU process with the streams to it.
type process struct {
	command *exec.Cmd
	monitor *net.UnixConn
	rpc     *net.UnixConn
	said    *tail
	ended   chan struct{} // closed when it has ended
	err     error         // how; to be read after ended
}

// spawn starts QEMU. memory, state and taps are passed on; they are the caller's
// to close.
func spawn(arguments []string, memory, state *os.File, taps []*os.File) (*process, error) {
	monitor, monitorThere, err := streamPair()
	if err != nil {
		return nil, err
	}
	defer monitorThere.Close()
	rpc, rpcThere, err := streamPair()
	if err != nil {
		_ = monitor.Close()
		return nil, err
	}
	defer rpcThere.Close()
	said := &tail{}
	command := exec.Command(program, arguments...)
	command.Stdout, command.Stderr = said, said
	// As `inherited` numbers them.
	command.ExtraFiles = append([]*os.File{monitorThere, rpcThere, memory, state}, taps...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(command); err != nil {
		_, _ = monitor.Close(), rpc.Close()
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	p := &process{command: command, monitor: monitor, rpc: rpc, said: said, ended: make(chan struct{})}
	go func() {
		p.err = command.Wait()
		_, _ = monitor.Close(), rpc.Close()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.command.Process.Pid }

// kill ends it at once.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.ended
}

// terminate ends it with what it has of the disk written.
func (p *process) terminate() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(graceful):
		p.kill()
	}
}

// failure says why it ended.
func (p *process) failure() error {
	<-p.ended
	if text := p.said.String(); text != "" {
		return fmt.Errorf("%s: %s", program, text)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", program, p.err)
	}
	return nil
}

// streamPair makes connected sockets: ours, and one to be inherited.
func streamPair() (*net.UnixConn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	connection, err := net.FileConn(ours)
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return connection.(*net.UnixConn), theirs, nil
}

// tail keeps the end of what a program says.
type tail struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

const tailLimit = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.text.Write(p)
	if over := t.text.Len() - tailLimit; over > 0 {
		t.text.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return strings.TrimSpace(t.text.String())
}
