// Command vmware-rpctool stands in for that of open-vm-tools in guests of the
// simulator: the same command line, output and exit codes, for the three
// commands that the agent uses.
//
// It is started often, in guests that are emulated: standard library only, no
// goroutines, nothing that reflects or initialises at length.
package main

import (
	"os"
	"strings"
	"syscall"
)

// messageLimit is GUESTMSG_MAX_IN_SIZE of open-vm-tools.
const messageLimit = 64 << 10

const usage = `usage: vmware-rpctool "info-get guestinfo.KEY"
       vmware-rpctool "info-set guestinfo.KEY VALUE"
       vmware-rpctool "instantclone.freeze"
`

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(arguments []string) int {
	if len(arguments) != 1 || arguments[0] == "" || strings.HasPrefix(arguments[0], "-") {
		complain(usage)
		return 2
	}
	command := arguments[0]
	if len(command) > messageLimit {
		complain("Failed sending message to VMware: the message is longer than 64 KiB.\n")
		return 1
	}
	unlock, err := lock()
	if err != nil {
		complain("Failed sending message to VMware: " + err.Error() + "\n")
		return 1
	}
	defer unlock()
	port, err := open()
	if err != nil {
		complain("Failed sending message to VMware: " + err.Error() + "\n")
		return 1
	}
	defer port.Close()
	answer, err := port.ask(requestID(), command)
	if err != nil {
		complain("Failed sending message to VMware: " + err.Error() + "\n")
		return 1
	}
	// As the original: what the hypervisor says goes to standard output, also
	// that there is no such value.
	if answer.value != "" || strings.HasPrefix(command, "info-get ") {
		_, _ = syscall.Write(1, []byte(answer.value+"\n"))
	}
	if !answer.ok {
		return 1
	}
	return 0
}

func complain(text string) {
	_, _ = syscall.Write(2, []byte(text))
}
