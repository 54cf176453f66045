package lan

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inOwnNamespace runs the test in a network namespace of its own, with a bridge
// named br.
func inOwnNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread, and its namespace, ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); errors.Is(err, unix.EPERM) {
		t.Skip("needs root, to make a network namespace")
	} else if err != nil {
		t.Fatal(err)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		t.Fatal(err)
	}
}

// newNamespace is another one, empty.
func newNamespace(t *testing.T) *os.File {
	t.Helper()
	type result struct {
		file *os.File
		err  error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // as above
		err := unix.Unshare(unix.CLONE_NEWNET)
		var file *os.File
		if err == nil {
			file, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- result{file, err}
	}()
	got := <-made
	if got.err != nil {
		t.Fatal(got.err)
	}
	t.Cleanup(func() { _ = got.file.Close() })
	return got.file
}

// lockedInto brings the goroutine's thread into a namespace, for good.
func lockedInto(namespace *os.File) error {
	runtime.LockOSThread()
	return unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
}

func master(t *testing.T, name string) string {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		t.Errorf("%s is down", name)
	}
	over, err := netlink.LinkByIndex(link.Attrs().MasterIndex)
	if err != nil {
		t.Fatal(err)
	}
	return over.Attrs().Name
}

func TestNamesFitTheKernelAndStayApart(t *testing.T) {
	if got := Name("tap", "vm-52"); got != "tap-vm-52" {
		t.Errorf("Name = %q", got)
	}
	long, other := Name("tap", strings.Repeat("x", 40)), Name("tap", strings.Repeat("x", 41))
	if len(long) > nameLimit || len(other) > nameLimit || long == other || !strings.HasPrefix(long, "tap-") {
		t.Errorf("names of long IDs: %q, %q", long, other)
	}
	if first, second := CardName("tap", 0, "vm-52"), CardName("tap", 1, "vm-52"); first != "tap-vm-52" || second != "tap1-vm-52" {
		t.Errorf("names of cards: %q, %q", first, second)
	}
}

func TestATapIsOnTheBridgeAndGoesWithItsHolder(t *testing.T) {
	inOwnNamespace(t)
	tap, err := NewTap("tap-vm-1", Port{Bridge: "br", Connected: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := master(t, tap.Name); got != "br" {
		t.Errorf("the tap is on %q", got)
	}
	if _, err := NewTap("tap-vm-1", Port{Bridge: "br", Connected: true}); err == nil {
		t.Error("a second tap of the same name was made")
	}
	if err := tap.File.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := netlink.LinkByName("tap-vm-1"); err == nil {
		t.Error("the tap is still there after its holder closed it")
	}
}

func TestAVethLeadsFromTheBridgeIntoANamespace(t *testing.T) {
	inOwnNamespace(t)
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	mac := net.HardwareAddr{0, 0x50, 0x56, 1, 2, 3}
	if err := NewVeth("veth-vm-1", Port{Bridge: "br", Connected: true}, "eth0", mac, here); err != nil {
		t.Fatal(err)
	}
	if got := master(t, "veth-vm-1"); got != "br" {
		t.Errorf("the veth is on %q", got)
	}
	inside, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if got := inside.Attrs().HardwareAddr.String(); got != mac.String() {
		t.Errorf("the guest's end has %s", got)
	}
	for range 2 {
		if err := Remove("veth-vm-1"); err != nil {
			t.Errorf("Remove: %v", err)
		}
	}
}

func TestWhatIsNoBridgeIsNamed(t *testing.T) {
	inOwnNamespace(t)
	for name, want := range map[string]string{"lo": "not a bridge", "nowhere": `bridge "nowhere"`} {
		if _, err := NewTap("tap-vm-1", Port{Bridge: name, Connected: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewTap on %s: %v", name, err)
		}
	}
}
