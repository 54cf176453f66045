package child

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The test is its own simulator: run once more with this variable it starts a
// child, says its process ID and waits to be killed.
const asSimulator = "CHILD_TEST_AS_SIMULATOR"

func TestMain(m *testing.M) {
	if os.Getenv(asSimulator) == "" {
		os.Exit(m.Run())
	}
	command := exec.Command("sleep", "600")
	if err := Start(command); err != nil {
		os.Exit(1)
	}
	os.Stdout.WriteString(strconv.Itoa(command.Process.Pid) + "\n")
	select {}
}

func TestAChildEndsWithAProgramThatIsKilled(t *testing.T) {
	simulator := exec.Command(os.Args[0])
	simulator.Env = append(os.Environ(), asSimulator+"=1")
	said, err := simulator.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := simulator.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	ended, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ended)
	_ = simulator.Process.Kill()
	_ = simulator.Wait()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(ended), Events: unix.POLLIN}}, 30_000)
	if err != nil || n != 1 {
		t.Fatalf("the child lives on (%d, %v)", n, err)
	}
}
