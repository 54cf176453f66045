package lan

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// station is a network namespace with one end of a veth pair in it; the other
// end is called veth-N.
type station struct {
	t         *testing.T
	number    int
	namespace *os.File
}

func (s station) veth() string { return fmt.Sprint("veth-", s.number) }

// inside calls work in a thread that is in the namespace.
func (s station) inside(work func() error) {
	s.t.Helper()
	done := make(chan error)
	go func() { // the locked thread ends with the goroutine
		done <- func() error {
			if err := lockedInto(s.namespace); err != nil {
				return err
			}
			return work()
		}()
	}()
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}

// newStation has the address 10.0.0.N.
func newStation(t *testing.T, number int, port Port) station {
	t.Helper()
	s := station{t, number, newNamespace(t)}
	mac := net.HardwareAddr{0, 0x50, 0x56, 0, 0, byte(number)}
	if err := NewVeth(s.veth(), port, "eth0", mac, s.namespace); err != nil {
		t.Fatal(err)
	}
	s.inside(func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		address, _ := netlink.ParseAddr(fmt.Sprintf("10.0.0.%d/24", number))
		if err := netlink.AddrAdd(link, address); err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	})
	return s
}

// hears makes a station answer UDP with what it gets.
func (s station) hears() {
	var socket net.PacketConn
	s.inside(func() (err error) {
		socket, err = net.ListenPacket("udp4", ":9")
		return err
	})
	s.t.Cleanup(func() { _ = socket.Close() })
	go answer(socket)
}

func answer(socket net.PacketConn) {
	buffer := make([]byte, 64)
	for {
		n, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		_, _ = socket.WriteTo(buffer[:n], from)
	}
}

// reaches sends until an answer comes, or for as long as patience.
func reaches(address string, patience time.Duration) bool {
	connection, err := net.Dial("udp4", address+":9")
	if err != nil {
		return false
	}
	defer connection.Close()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := connection.Write([]byte("?")); err != nil {
			return false // no carrier: no route
		}
		_ = connection.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := connection.Read(make([]byte, 1)); err == nil {
			return true
		}
	}
	return false
}

const (
	soon    = 10 * time.Second
	aMoment = 500 * time.Millisecond // for what never comes
)

func (s station) expect(address string, reached bool) {
	s.t.Helper()
	patience := aMoment
	if reached {
		patience = soon
	}
	var got bool
	s.inside(func() error { got = reaches(address, patience); return nil })
	if got != reached {
		s.t.Errorf("station %d reaches %s: %v", s.number, address, got)
	}
}

// bridgeWithAddress gives the bridge 10.0.0.254, where it answers.
func bridgeWithAddress(t *testing.T) {
	t.Helper()
	inOwnNamespace(t)
	bridge, err := netlink.LinkByName("br")
	if err != nil {
		t.Fatal(err)
	}
	address, _ := netlink.ParseAddr("10.0.0.254/24")
	if err := netlink.AddrAdd(bridge, address); err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenPacket("udp4", "10.0.0.254:9")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	go answer(socket)
}

func TestIsolatedPortsReachTheBridgeAndNotEachOther(t *testing.T) {
	bridgeWithAddress(t)
	isolated := Port{Bridge: "br", Isolated: true, Connected: true}
	one, two := newStation(t, 1, isolated), newStation(t, 2, isolated)
	open := newStation(t, 3, Port{Bridge: "br", Connected: true})
	for _, s := range []station{one, two, open} {
		s.hears()
	}
	one.expect("10.0.0.254", true)
	two.expect("10.0.0.254", true)
	one.expect("10.0.0.2", false)
	two.expect("10.0.0.1", false)
	open.expect("10.0.0.1", true) // so every guest has to be isolated
	// A port can be moved to where it is isolated no more, and back.
	for _, s := range []station{one, two} {
		if err := Plug(s.veth(), Port{Bridge: "br", Connected: true}); err != nil {
			t.Fatal(err)
		}
	}
	one.expect("10.0.0.2", true)
	if err := Plug(one.veth(), isolated); err != nil {
		t.Fatal(err)
	}
	if err := Plug(two.veth(), isolated); err != nil {
		t.Fatal(err)
	}
	one.expect("10.0.0.2", false)
}

func (s station) carrier() (carrier bool) {
	s.t.Helper()
	s.inside(func() error {
		link, err := netlink.LinkByName("eth0")
		carrier = err == nil && link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
		return err
	})
	return carrier
}

func TestWhatIsNotConnectedHasNoCarrier(t *testing.T) {
	bridgeWithAddress(t)
	s := newStation(t, 1, Port{Bridge: "br"})
	if s.carrier() {
		t.Error("it has a carrier")
	}
	s.expect("10.0.0.254", false)
	if err := Plug(s.veth(), Port{Bridge: "br", Connected: true}); err != nil {
		t.Fatal(err)
	}
	s.expect("10.0.0.254", true)
	if !s.carrier() {
		t.Error("it has no carrier")
	}
	for _, port := range []Port{{Bridge: "br"}, {Connected: true}} { // disconnected; on a port group without a bridge
		if err := Plug(s.veth(), Port{Bridge: "br", Connected: true}); err != nil {
			t.Fatal(err)
		}
		if err := Plug(s.veth(), port); err != nil {
			t.Fatal(err)
		}
		if link, err := netlink.LinkByName(s.veth()); err != nil || link.Attrs().MasterIndex != 0 {
			t.Errorf("%+v: it is still on a bridge, %v", port, err)
		}
		if s.carrier() {
			t.Errorf("%+v: it has a carrier", port)
		}
	}
}
