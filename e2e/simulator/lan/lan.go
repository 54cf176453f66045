// Package lan connects guests to the bridges that stand for port groups: a tap
// for each network card of a QEMU guest, a veth pair for each of a native one,
// under names of the VM's own in the network namespace that the simulator runs in.
//
// It gives no addresses; the guests do that themselves.
package lan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	tunDevice = "/dev/net/tun"
	// nameLimit is IFNAMSIZ without the closing NUL.
	nameLimit = unix.IFNAMSIZ - 1
)

// Name makes an interface name of a prefix and a VM's ID: the same one each
// time, and short enough for the kernel.
func Name(prefix, id string) string {
	name := prefix + "-" + id
	if len(name) <= nameLimit {
		return name
	}
	sum := sha256.Sum256([]byte(id))
	return name[:min(len(prefix)+1, nameLimit-8)] + hex.EncodeToString(sum[:4])
}

// CardName is Name for a VM's network card, the first one being 0.
func CardName(prefix string, card int, id string) string {
	if card > 0 {
		prefix += strconv.Itoa(card)
	}
	return Name(prefix, id)
}

// Port is what a network card is plugged into: the bridge that stands for its
// port group.
type Port struct {
	Bridge string // empty: there is none, the card leads nowhere
	// Isolated: the bridge passes nothing from here to another isolated port, as
	// a switch does in an isolated private VLAN.
	Isolated  bool
	Connected bool // false: the card has no carrier, and no frame passes
}

// Plugged tells whether the card has a carrier.
func (p Port) Plugged() bool { return p.Connected && p.Bridge != "" }

// Tap is a network card's plug on the bridge. It is there as long as somebody
// holds the file open: the process of the guest, once it was given it.
type Tap struct {
	Name string
	File *os.File
}

// NewTap makes a tap and plugs it into the port. One of the same name that
// nobody holds cannot be left over: it went away with its holder.
func NewTap(name string, port Port) (*Tap, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (load the kernel module tun, or run as root)", tunDevice, err)
	}
	file := os.NewFile(uintptr(fd), tunDevice)
	request, err := unix.NewIfreq(name)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("tap %q: %w", name, err)
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("tap %q: %w", name, err)
	}
	if err := Plug(name, port); err != nil {
		_ = file.Close()
		return nil, err
	}
	return &Tap{Name: name, File: file}, nil
}

// NewVeth makes a veth pair: one end, named name, in the port; the other, named
// peer and with the hardware address mac, in the network namespace of the file
// (down, for its owner to configure). The pair ends with the namespace.
func NewVeth(name string, port Port, peer string, mac net.HardwareAddr, namespace *os.File) error {
	pair := netlink.NewVeth(netlink.LinkAttrs{Name: name})
	pair.PeerName = peer
	pair.PeerHardwareAddr = mac
	pair.PeerNamespace = netlink.NsFd(namespace.Fd())
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("veth %q: %w", name, err)
	}
	if err := Plug(name, port); err != nil {
		return errors.Join(err, Remove(name))
	}
	return nil
}

// Remove unplugs and deletes an interface by name. That it is gone already is
// no error.
func Remove(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if err == nil || errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove %q: %w", name, err)
}

func findBridge(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("bridge %q: %w", name, err)
	}
	if link.Type() != "bridge" {
		return nil, fmt.Errorf("%q is a %s, not a bridge", name, link.Type())
	}
	return link, nil
}

// Plug brings an interface into a port, out of the one that it is in. An end
// that is not plugged is down, which is what the other end of a veth pair sees.
func Plug(name string, port Port) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = plug(link, port)
	}
	if err != nil {
		return fmt.Errorf("plug %q into %+v: %w", name, port, err)
	}
	return nil
}

func plug(link netlink.Link, port Port) error {
	if !port.Plugged() {
		return errors.Join(netlink.LinkSetDown(link), netlink.LinkSetNoMaster(link))
	}
	bridge, err := findBridge(port.Bridge)
	if err != nil {
		return err
	}
	if link.Attrs().MasterIndex != bridge.Attrs().Index {
		// Down, so that no frame passes before the port is isolated.
		err = errors.Join(netlink.LinkSetDown(link), netlink.LinkSetMaster(link, bridge))
	}
	if err == nil {
		err = netlink.LinkSetIsolated(link, port.Isolated)
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	return err
}
