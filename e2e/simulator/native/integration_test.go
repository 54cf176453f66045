package native

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/lan"
)

// The tests of whole guests need root and the guest image (guest/native/build.py)
// whose folder this variable names; without it they are skipped.
const imageVariable = "VCH_NATIVE_IMAGE"

const (
	ownNamespace = "VCH_TEST_OWN_NAMESPACE"
	bridge       = "vch0"
	// startsWithin: a guest of a busy machine.
	startsWithin = time.Minute
)

// TestMain runs the tests in a network namespace of their own, and is the init
// of their guests and a supervisor.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == InitArgument {
		fmt.Fprintln(os.Stderr, "init:", Init())
		os.Exit(1)
	}
	if os.Getenv(supervised) != "" {
		fmt.Fprintln(os.Stderr, superviseOne())
		os.Exit(1)
	}
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

// site is where a test's guests run.
type site struct {
	*testing.T
	backend *Backend
	folder  string
}

func newSite(t *testing.T) *site {
	t.Helper()
	image := os.Getenv(imageVariable)
	if image == "" {
		t.Skipf("%s does not name a guest image", imageVariable)
	}
	if os.Geteuid() != 0 {
		t.Skip("guests need root")
	}
	ensureBridge(t)
	folder := t.TempDir() // before Close is put off, so that it is removed after
	b, err := New(Config{
		Image: image, Cgroups: fmt.Sprintf("vch-test-%d", os.Getpid()),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &site{T: t, backend: b, folder: folder}
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

func (s *site) vm(number int) guest.VM {
	s.Helper()
	vm := guest.VM{
		ID: fmt.Sprintf("vm-%d", number), CPUs: 1, MemoryMB: 512,
		Cards: cards(number, true), Dir: filepath.Join(s.folder, fmt.Sprint(number)),
	}
	if err := os.MkdirAll(vm.Dir, 0o700); err != nil {
		s.Fatal(err)
	}
	return vm
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

// parent is a frozen one.
func (s *site) parent() guest.Guest {
	s.Helper()
	host := newFakeHost(map[string]string{parentKey: `{"node": "vch", "freeze": true}`})
	parent, err := s.backend.PowerOn(s.Context(), s.vm(1), host)
	if err != nil {
		s.Fatal(err)
	}
	receive(s.T, host.frozen, "freeze")
	return parent
}

// clone is one whose agent has reported.
func (s *site) clone(parent guest.Guest, number int) (guest.Guest, *fakeHost) {
	s.Helper()
	host := newFakeHost(map[string]string{identityKey: identity(s.T, number)})
	began := time.Now()
	clone, err := s.backend.InstantClone(s.Context(), parent, s.vm(number), host)
	if err != nil {
		s.Fatal(err)
	}
	runs := time.Since(began)
	s.ready(host, number)
	s.Logf("clone %d: runs after %v, reports after %v", number, runs, time.Since(began))
	return clone, host
}

// ready returns the fingerprint that the agent reports.
func (s *site) ready(host *fakeHost, number int) string {
	s.Helper()
	text := receive(s.T, host.reports, "report")
	var report struct{ Phase, Fingerprint, Address string }
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		s.Fatal(err)
	}
	if report.Phase != "Ready" || report.Address != address(number) {
		s.Fatalf("the agent reports %s", text)
	}
	return report.Fingerprint
}

// console shows what the guest's services said, when the test fails.
func (s *site) console(number int) {
	s.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(s.vm(number).Dir, consoleName)); s.Failed() && err == nil {
			s.Logf("console of guest %d:\n%s", number, text)
		}
	})
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(startsWithin):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// eventually waits for what nobody tells.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(startsWithin); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", startsWithin, what)
		}
	}
}

func address(number int) string { return fmt.Sprintf("10.77.0.%d", 100+number) }

func identity(t *testing.T, number int) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"cloneId": fmt.Sprintf("clone-%d", number),
		"pod":     map[string]string{"namespace": "default", "name": "pod", "uid": fmt.Sprintf("uid-%d", number)},
		"node":    "vch", "hostname": fmt.Sprintf("pod-%d", number), "address": address(number) + "/24",
		"gateway": nil, "nameservers": []string{}, "time": float64(time.Now().UnixMilli()) / 1000,
		"seed": base64.StdEncoding.EncodeToString(make([]byte, 64)), "clientCA": clientCA(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func clientCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestAForksClonesRun(t *testing.T) {
	s := newSite(t)
	s.console(3)
	forks := newFakeHost(map[string]string{
		parentKey: `{"parentId": "00000000000000000000000000000002", "node": "vch", "freeze": true}`,
	})
	fork, err := s.backend.InstantClone(t.Context(), s.parent(), s.vm(2), forks)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the fork reports %s", receive(t, forks.reports, "report"))
	receive(t, forks.frozen, "freeze")
	s.clone(fork, 3)
}
