// Package lan connects guests to the bridge that stands for a port group: a tap
// for a QEMU guest, a veth pair for a native one, each under a name of the VM's
// own in the network namespace that the simulator runs in.
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

// Tap is a network card's plug on the bridge. It is there as long as somebody
// holds the file open: the process of the guest, once it was given it.
type Tap struct {
	Name string
	File *os.File
}

// NewTap makes a tap and plugs it into the bridge. One of the same name that
// nobody holds cannot be left over: it went away with its holder.
func NewTap(bridge, name string) (*Tap, error) {
	port, err := findBridge(bridge)
	if err != nil {
		return nil, err
	}
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
	if err := plug(name, port); err != nil {
		_ = file.Close()
		return nil, err
	}
	return &Tap{Name: name, File: file}, nil
}

// NewVeth makes a veth pair: one end, named name, on the bridge; the other,
// named peer and with the hardware address mac, in the network namespace of the
// file (down, for its owner to configure). The pair ends with the namespace.
func NewVeth(bridge, name, peer string, mac net.HardwareAddr, namespace *os.File) error {
	port, err := findBridge(bridge)
	if err != nil {
		return err
	}
	pair := netlink.NewVeth(netlink.LinkAttrs{Name: name})
	pair.PeerName = peer
	pair.PeerHardwareAddr = mac
	pair.PeerNamespace = netlink.NsFd(namespace.Fd())
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("veth %q: %w", name, err)
	}
	if err := plug(name, port); err != nil {
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

func plug(name string, bridge netlink.Link) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetMaster(link, bridge)
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("plug %q into %q: %w", name, bridge.Attrs().Name, err)
	}
	return nil
}
