package native

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// service is what systemd would call one: started, and started again whenever it
// ends.
type service struct {
	name        string
	command     func() ([]string, error) // asked before each start
	environment []string                 // besides what all have
	pause       time.Duration            // before it is started again
}

// supervisor starts services, and collects every process that ends: as the
// first one of its namespace it inherits those whose parents have ended.
type supervisor struct {
	environment []string

	mutex   sync.Mutex // held while a process starts, so that its end is not told before its start
	running map[int]service
}

func newSupervisor(environment []string) *supervisor {
	return &supervisor{environment: environment, running: map[int]service{}}
}

// keep starts a service, from now on.
func (s *supervisor) keep(wanted service) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	pid, err := s.start(wanted)
	if err != nil {
		fmt.Fprintf(os.Stderr, "init: %s: %v\n", wanted.name, err)
		time.AfterFunc(wanted.pause, func() { s.keep(wanted) })
		return
	}
	s.running[pid] = wanted
}

func (s *supervisor) start(wanted service) (int, error) {
	arguments, err := wanted.command()
	if err != nil {
		return 0, err
	}
	path, err := exec.LookPath(arguments[0])
	if err != nil {
		return 0, err
	}
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer nothing.Close()
	process, err := os.StartProcess(path, arguments, &os.ProcAttr{
		Dir: "/", Env: append(append([]string{}, s.environment...), wanted.environment...),
		Files: []*os.File{nothing, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, err
	}
	// Its end is collected by run, like that of all others.
	pid := process.Pid
	return pid, process.Release()
}

// run collects processes for ever. It returns when there is nothing to collect,
// which is a defect.
func (s *supervisor) run() error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err == syscall.ECHILD {
			time.Sleep(100 * time.Millisecond) // all services are about to be started again
			continue
		}
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		s.mutex.Lock()
		ended, ours := s.running[pid]
		delete(s.running, pid)
		s.mutex.Unlock()
		if ours {
			fmt.Fprintf(os.Stderr, "init: %s ended (%v), starting it again\n", ended.name, status)
			time.AfterFunc(ended.pause, func() { s.keep(ended) })
		}
	}
}
