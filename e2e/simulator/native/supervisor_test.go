package native

import (
	"bufio"
	"os"
	"os/exec"
	"testing"
	"time"
)

// supervised is set in the process that TestMain makes a supervisor: one that
// collects every child would collect those of the other tests too.
const supervised = "VCH_TEST_SUPERVISED"

// superviseOne starts again and again what says a line and ends.
func superviseOne() error {
	super := newSupervisor(os.Environ())
	super.keep(service{
		name: "short", pause: time.Millisecond,
		command: func() ([]string, error) { return []string{"sh", "-c", "echo started; read line && echo input"}, nil },
	})
	return super.run()
}

func TestAServiceThatEndsIsStartedAgain(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), self)
	process.Env = append(os.Environ(), supervised+"=1")
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = process.Wait() }()
	defer func() { _ = process.Process.Kill() }()
	lines := bufio.NewScanner(output)
	for range 3 {
		if !lines.Scan() || lines.Text() != "started" {
			t.Fatalf("got %q, %v", lines.Text(), lines.Err())
		}
	}
}
