// Package child starts processes that end with the simulator, however it ends.
package child

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// starts run on one operating system thread that lives as long as the program:
// the kernel kills children by PDEATHSIG when the thread ends that made them.
var starts = sync.OnceValue(func() chan<- func() {
	queue := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range queue {
			start()
		}
	}()
	return queue
})

// Start starts a command; the kernel kills it when this program ends. Other
// attributes in SysProcAttr are kept.
func Start(command *exec.Cmd) error {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	starts() <- func() { started <- command.Start() }
	return <-started
}
