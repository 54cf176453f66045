package qemu

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/lan"
)

// These tests boot the guest image (guest/debian/build.py) whose folder this
// variable names; without it they are skipped.
const imageVariable = "VCH_QEMU_IMAGE"

const (
	ownNamespace = "VCH_TEST_OWN_NAMESPACE"
	bridge       = "vch0"
	// bootsWithin: an emulated guest of a busy machine.
	bootsWithin = 5 * time.Minute
)

// TestMain runs the tests in a network namespace of their own.
func TestMain(m *testing.M) {
	if os.Getenv(imageVariable) != "" && os.Getenv(ownNamespace) == "" && os.Geteuid() == 0 {
		unshare, err := exec.LookPath("unshare")
		if err == nil {
			arguments := append([]string{unshare, "--net", "/proc/self/exe"}, os.Args[1:]...)
			arguments[2], _ = os.Executable()
			err = syscall.Exec(unshare, arguments, append(os.Environ(), ownNamespace+"=1"))
		}
		fmt.Fprintln(os.Stderr, "no network namespace:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// host is a VM to its guest.
type host struct {
	t      *testing.T
	frozen chan struct{}
	exited chan error
	report chan string

	mutex sync.Mutex
	info  map[string]string
}

func newHost(t *testing.T, info map[string]string) *host {
	return &host{t: t, frozen: make(chan struct{}, 1), exited: make(chan error, 1), report: make(chan string, 10), info: info}
}

func (h *host) InfoGet(key string) (string, bool) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	value, ok := h.info[key]
	return value, ok
}

func (h *host) InfoSet(key, value string) error {
	if key == "guestinfo.vch.report" {
		h.report <- value
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	h.info[key] = value
	return nil
}

func (h *host) Frozen() error    { h.frozen <- struct{}{}; return nil }
func (h *host) Exited(err error) { h.exited <- err }

func (h *host) waitFrozen() {
	h.t.Helper()
	select {
	case <-h.frozen:
	case err := <-h.exited:
		h.t.Fatalf("the guest ended: %v", err)
	case <-time.After(bootsWithin):
		h.t.Fatal("the guest did not freeze")
	}
}

// waitReport returns the certificate's fingerprint that the clone's agent tells.
func (h *host) waitReport() string {
	h.t.Helper()
	select {
	case text := <-h.report:
		var report struct{ Phase, Fingerprint, Message string }
		if err := json.Unmarshal([]byte(text), &report); err != nil || report.Phase != "Ready" {
			h.t.Fatalf("the agent reports %s", text)
		}
		return report.Fingerprint
	case err := <-h.exited:
		h.t.Fatalf("the guest ended: %v", err)
	case <-time.After(bootsWithin):
		h.t.Fatal("the agent did not report")
	}
	return ""
}

func newBackend(t *testing.T) (*Backend, string) {
	t.Helper()
	image := os.Getenv(imageVariable)
	if image == "" {
		t.Skipf("%s does not name a guest image", imageVariable)
	}
	ensureBridge(t)
	folder := t.TempDir()
	level := slog.LevelInfo
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
	b, err := New(Config{Image: image, StateDir: filepath.Join(folder, "qemu"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b, folder
}

func ensureBridge(t *testing.T) {
	t.Helper()
	if _, err := netlink.LinkByName(bridge); err == nil {
		return
	}
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge}}
	address, _ := netlink.ParseAddr("10.77.0.1/24")
	for _, err := range []error{netlink.LinkAdd(link), netlink.AddrAdd(link, address), netlink.LinkSetUp(link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func vm(t *testing.T, folder string, number int) guest.VM {
	t.Helper()
	id := fmt.Sprintf("vm-%d", number)
	dir := filepath.Join(folder, "vms", id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return guest.VM{ID: id, Name: id, CPUs: 1, MemoryMB: 512, Cards: cards(number, true), Dir: dir}
}

// cards are one on the management network and one for the pod.
func cards(number int, connected bool) []guest.Card {
	return []guest.Card{
		{
			MAC:  fmt.Sprintf("00:50:56:00:00:%02x", number),
			Port: lan.Port{Bridge: bridge, Connected: connected},
		},
		{
			MAC:  fmt.Sprintf("00:50:56:00:01:%02x", number),
			Port: lan.Port{Bridge: bridge, Isolated: true, Connected: connected},
		},
	}
}

// frozenParent boots the image and freezes it.
func frozenParent(t *testing.T, b *Backend, folder string) *Guest {
	t.Helper()
	h := newHost(t, map[string]string{"guestinfo.vch.parent": `{"node":"vch-0","freeze":true}`})
	started, err := b.PowerOn(context.Background(), vm(t, folder, 1), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			console, _ := os.ReadFile(filepath.Join(folder, "vms/vm-1", consoleName))
			t.Logf("the parent's console:\n%s", console)
		}
	})
	h.waitFrozen()
	stats, _ := started.Stats()
	t.Logf("cold boot to frozen: %.1f s, %d MiB of RAM", since(stats, "spawned", "frozen"), stats.PrivateBytes>>20)
	return started.(*Guest)
}

// clone starts a clone of the parent with an identity of its own.
func clone(t *testing.T, b *Backend, folder string, parent *Guest, number int) (*Guest, *host) {
	t.Helper()
	h := newHost(t, map[string]string{"guestinfo.vch.identity": identity(t, number)})
	started, err := b.InstantClone(context.Background(), parent, vm(t, folder, number), h)
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	return started.(*Guest), h
}

func identity(t *testing.T, number int) string {
	seed := make([]byte, 64)
	if _, err := unix.Getrandom(seed, 0); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"cloneId": fmt.Sprintf("%032x", number), "node": "vch-0", "hostname": fmt.Sprintf("pod-%d", number),
		"pod":     map[string]string{"namespace": "default", "name": "pod", "uid": fmt.Sprintf("uid-%d", number)},
		"address": fmt.Sprintf("10.77.0.%d/24", 20+number), "gateway": "10.77.0.1", "nameservers": []string{},
		"time": float64(time.Now().UnixMilli()) / 1000, "seed": base64.StdEncoding.EncodeToString(seed),
		"clientCA": clientCA(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func since(stats guest.Stats, first, last string) float64 {
	return stats.Timings[last].Sub(stats.Timings[first]).Seconds()
}

func digest(t *testing.T, memory *os.File) [sha256.Size]byte {
	t.Helper()
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(memory, 0, 1<<40)); err != nil {
		t.Fatal(err)
	}
	return [sha256.Size]byte(hash.Sum(nil))
}

func TestClonesRunFromAFrozenParentThatStaysAsItWas(t *testing.T) {
	b, folder := newBackend(t)
	parent := frozenParent(t, b, folder)
	memory := parent.frozen.memory
	before := digest(t, memory)
	if _, err := memory.WriteAt([]byte{1}, 0); err == nil {
		t.Error("the frozen RAM can be written to")
	}
	taken := map[string]bool{}
	for number := 2; number <= 4; number++ {
		asked := time.Now()
		started, h := clone(t, b, folder, parent, number)
		if started == nil {
			t.FailNow()
		}
		running := time.Since(asked)
		fingerprint := h.waitReport()
		reported := time.Since(asked)
		address := fmt.Sprintf("10.77.0.%d:10350", 20+number)
		connection, err := net.DialTimeout("tcp", address, 10*time.Second)
		if err != nil {
			t.Fatalf("the agent of clone %d: %v", number, err)
		}
		_ = connection.Close()
		stats, err := started.Stats()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("clone %d: runs %.2f s, reports %.2f s, reached %.2f s after it was asked for; %d MiB of RAM copied",
			number, running.Seconds(), reported.Seconds(), time.Since(asked).Seconds(), stats.PrivateBytes>>20)
		if taken[fingerprint] {
			t.Errorf("clone %d made the key that another clone made", number)
		}
		taken[fingerprint] = true
		if stats.PrivateBytes == 0 || stats.PrivateBytes > stats.RAMBytes/4 {
			t.Errorf("clone %d has %d of %d bytes of RAM to itself", number, stats.PrivateBytes, stats.RAMBytes)
		}
	}
	if digest(t, memory) != before {
		t.Error("the parent's RAM has changed")
	}
}

func TestADestroyedParentDoesNotDisturbItsClones(t *testing.T) {
	b, folder := newBackend(t)
	parent := frozenParent(t, b, folder)
	started, h := clone(t, b, folder, parent, 2)
	if started == nil {
		t.FailNow()
	}
	if err := parent.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(parent.dir); err != nil {
		t.Fatal(err)
	}
	h.waitReport()
	if _, err := b.InstantClone(context.Background(), parent, vm(t, folder, 3), newHost(t, nil)); err == nil {
		t.Error("a destroyed parent was cloned")
	}
	// Its own boot reads all of the disk that it shares with the parent.
	if err := started.Reset(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.waitReport()
	if err := started.Destroy(context.Background()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(b.config.StateDir)
	if err != nil || len(left) != 0 {
		t.Errorf("left after the last clone: %v, %v", left, err)
	}
}

func TestAGuestThatEndsByItselfIsTold(t *testing.T) {
	b, folder := newBackend(t)
	h := newHost(t, map[string]string{})
	started, err := b.PowerOn(context.Background(), vm(t, folder, 1), h)
	if err != nil {
		t.Fatal(err)
	}
	if err := started.(guest.Killer).Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-h.exited; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Exited: %v", err)
	}
	if stats, _ := started.Stats(); stats.State != guest.Off {
		t.Errorf("state %q", stats.State)
	}
}

func TestTwentyClonesAtOnce(t *testing.T) {
	b, folder := newBackend(t)
	parent := frozenParent(t, b, folder)
	asked := time.Now()
	var all sync.WaitGroup
	for number := 2; number < 22; number++ {
		all.Go(func() {
			if _, h := clone(t, b, folder, parent, number); h != nil {
				h.waitReport()
				t.Logf("clone %d reports %.1f s after all were asked for", number, time.Since(asked).Seconds())
			}
		})
	}
	all.Wait()
}
