package native

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/lan"
)

// named finds the guest's processes of a program.
func named(t *testing.T, g guest.Guest, program string) []int {
	t.Helper()
	stats, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, pid := range stats.Processes {
		text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if strings.Contains(strings.ReplaceAll(string(text), "\x00", " "), program) {
			found = append(found, pid)
		}
	}
	return found
}

// nothingLeft fails if the machine still has anything of a guest that is off.
func (s *site) nothingLeft(number int, processes []int) {
	s.Helper()
	vm := s.vm(number)
	for _, pid := range processes {
		if err := syscall.Kill(pid, 0); err == nil {
			s.Errorf("process %d is still there", pid)
		}
	}
	for card := range vm.Cards {
		if _, err := netlink.LinkByName(lan.CardName("veth", card, vm.ID)); err == nil {
			s.Errorf("the veth of card %d is still there", card)
		}
	}
	mounts, err := hierarchies()
	if err != nil {
		s.Fatal(err)
	}
	for _, mount := range mounts {
		name := filepath.Join(mount, s.backend.config.Cgroups+"-"+vm.ID)
		if _, err := os.Stat(name); err == nil {
			s.Errorf("cgroup %s is still there", name)
		}
	}
	table, err := os.ReadFile(mountTable)
	if err != nil {
		s.Fatal(err)
	}
	if strings.Contains(string(table), vm.Dir) {
		s.Errorf("something is still mounted below %s", vm.Dir)
	}
}

func TestACloneReportsAndLeavesNothingBehind(t *testing.T) {
	s := newSite(t)
	s.console(2)
	before := sysctlValues(t)
	clone, _ := s.clone(s.parent(), 2)
	for _, program := range []string{"containerd --config", "-m vch_agent", "kubelet --config"} {
		eventually(t, program+" runs", func() bool { return len(named(t, clone, program)) == 1 })
	}
	stats, _ := clone.Stats()
	if stats.State != guest.Running || !slices.Contains(stats.Processes, stats.PID) {
		t.Errorf("got %+v", stats)
	}
	if stats.PssBytes == 0 || stats.PrivateBytes == 0 || stats.PrivateBytes > stats.PssBytes {
		t.Errorf("memory: %d private, %d proportional", stats.PrivateBytes, stats.PssBytes)
	}
	if err := clone.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft(2, stats.Processes)
	if err := clone.Destroy(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft(2, stats.Processes)
	if left, _ := filepath.Glob(filepath.Join(s.vm(2).Dir, "*")); len(left) > 0 {
		t.Errorf("files are left: %q", left)
	}
	if after := sysctlValues(t); !slices.Equal(before, after) {
		t.Errorf("the machine's sysctls were %q and are %q", before, after)
	}
}

func sysctlValues(t *testing.T) []string {
	t.Helper()
	var values []string
	for name := range sysctls {
		text, _ := os.ReadFile(filepath.Join("/proc/sys", name))
		values = append(values, name+"="+strings.TrimSpace(string(text)))
	}
	slices.Sort(values)
	return values
}

func TestACloneKeepsItsKeyOverPowerCyclesAndResets(t *testing.T) {
	s := newSite(t)
	s.console(2)
	clone, host := s.clone(s.parent(), 2)
	first, _ := host.InfoGet("guestinfo.vch.report")
	if err := clone.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := s.backend.PowerOn(t.Context(), s.vm(2), host)
	if err != nil {
		t.Fatal(err)
	}
	s.ready(host, 2)
	if err := again.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.ready(host, 2)
	if last, _ := host.InfoGet("guestinfo.vch.report"); last != first {
		t.Errorf("first %s, then %s", first, last)
	}
	select {
	case err := <-host.exited:
		t.Errorf("a reset was told as a crash: %v", err)
	default:
	}
}

func TestACrashIsToldAndCleanedUp(t *testing.T) {
	s := newSite(t)
	clone, host := s.clone(s.parent(), 2)
	stats, _ := clone.Stats()
	if err := clone.(guest.Killer).Kill(); err != nil {
		t.Fatal(err)
	}
	receive(t, host.exited, "word of the crash")
	s.nothingLeft(2, stats.Processes)
	if stats, _ := clone.Stats(); stats.State != guest.Off || len(stats.Processes) > 0 {
		t.Errorf("got %+v", stats)
	}
}

func TestServicesThatDieAreStartedAgain(t *testing.T) {
	s := newSite(t)
	s.console(2)
	clone, host := s.clone(s.parent(), 2)
	for _, program := range []string{"containerd --config", "kubelet --config", "-m vch_agent"} {
		var old []int
		eventually(t, program+" runs", func() bool { old = named(t, clone, program); return len(old) == 1 })
		if err := syscall.Kill(old[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, program+" runs again", func() bool {
			now := named(t, clone, program)
			return len(now) == 1 && now[0] != old[0]
		})
	}
	s.ready(host, 2)
}

func TestAnAgentThatDiesBeforeItIsReadyIsStartedAgain(t *testing.T) {
	s := newSite(t)
	s.console(2)
	parent := s.parent()
	host := newFakeHost(map[string]string{identityKey: identity(t, 2)})
	clone, err := s.backend.InstantClone(t.Context(), parent, s.vm(2), host)
	if err != nil {
		t.Fatal(err)
	}
	var agent []int
	eventually(t, "the agent runs", func() bool { agent = named(t, clone, "-m vch_agent"); return len(agent) == 1 })
	if err := syscall.Kill(agent[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.ready(host, 2)
}

func TestClonesStartSideBySide(t *testing.T) {
	s := newSite(t)
	parent := s.parent()
	for number := 2; number < 6; number++ {
		t.Run(strconv.Itoa(number), func(t *testing.T) {
			t.Parallel()
			part := &site{T: t, backend: s.backend, folder: s.folder}
			part.console(number)
			part.clone(parent, number)
		})
	}
}

func TestContainersEndWithTheirGuest(t *testing.T) {
	s := newSite(t)
	s.console(2)
	clone, _ := s.clone(s.parent(), 2)
	stats, _ := clone.Stats()
	name := s.backend.config.Cgroups + "-vm-2"
	run := []string{
		"-t", strconv.Itoa(stats.PID), "-m", "-n", "-u", "-i", "-p",
		"ctr", "-n", "k8s.io", "run", "-d", "--cgroup", "/" + name + "/kubepods/pod/container",
		"vch.dev/busybox:1", "container", "sleep", "4321",
	}
	eventually(t, "the container runs", func() bool { // containerd may still be starting
		said, err := exec.CommandContext(t.Context(), "nsenter", run...).CombinedOutput()
		if err != nil {
			t.Logf("%v: %s", err, said)
		}
		return err == nil
	})
	if len(named(t, clone, "sleep 4321")) != 1 {
		t.Error("the container's process is not told as the guest's")
	}
	stats, _ = clone.Stats()
	if err := clone.PowerOff(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.nothingLeft(2, stats.Processes)
}

// A parent that is to be prepared, a fork of it, and a clone of that: what each
// was told to have is in those after it.
func TestAPreparedParentAndItsForkLeaveWhatTheyHaveToTheirClones(t *testing.T) {
	s := newSite(t)
	for number := range 3 {
		s.console(number + 1)
	}
	message := func(id, file string) string {
		return fmt.Sprintf(`{"parentId": %q, "node": "vch", "freeze": true, "time": %d, "seed": "AAAA",
			"setup": {"files": [{"path": %q, "content": "here"}], "sysctls": {"net.core.somaxconn": "77"}}}`,
			id, time.Now().Unix(), file)
	}
	host := newFakeHost(map[string]string{parentKey: message("one", "/etc/one")})
	began := time.Now()
	parent, err := s.backend.PowerOn(t.Context(), s.vm(1), host)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, host.frozen, "freeze")
	t.Logf("prepared and frozen in %v", time.Since(began))
	if last := lastReport(host); !strings.Contains(last, `"phase":"Warm"`) || !strings.Contains(last, "vch.dev/pause:1") ||
		!strings.Contains(last, `"sharesMemory":false`) {
		t.Errorf("the parent said %s", last)
	}
	if stats, _ := parent.Stats(); stats.State != guest.Frozen || len(stats.Processes) != 0 {
		t.Errorf("got %+v", stats)
	}

	host = newFakeHost(map[string]string{parentKey: message("two", "/etc/two"), identityKey: ""})
	fork, err := s.backend.InstantClone(t.Context(), parent, s.vm(2), host)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, host.frozen, "freeze")
	if last := lastReport(host); !strings.Contains(last, `"parentId":"two","phase":"Warm"`) {
		t.Errorf("the fork said %s", last)
	}

	clone, _ := s.clone(fork, 3)
	stats, _ := clone.Stats()
	root := fmt.Sprintf("/proc/%d/root", stats.PID)
	for name, want := range map[string]string{"/etc/one": "here", "/etc/two": "here"} {
		if text, err := os.ReadFile(root + name); string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	command := exec.Command("nsenter", "--net", "--target", strconv.Itoa(stats.PID), "cat", "/proc/sys/net/core/somaxconn")
	if text, err := command.Output(); strings.TrimSpace(string(text)) != "77" {
		t.Errorf("net.core.somaxconn: %q, %v", text, err)
	}
}

func lastReport(host *fakeHost) string {
	text, _ := host.InfoGet("guestinfo.vch.report")
	return text
}
