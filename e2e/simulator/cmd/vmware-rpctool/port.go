package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// portName is the name that the simulator gives the virtio-serial port.
const portName = "vmware.rpc"

var (
	portFolder    = "/sys/class/virtio-ports"
	deviceFolder  = "/dev"
	lockFile      = "/run/vmware-rpctool.lock"
	defaultSocket = "/run/vmware-rpc.sock"
)

// lock makes calls queue: a virtio port can be opened once only.
func lock() (unlock func(), err error) {
	fd, err := syscall.Open(lockFile, syscall.O_CREAT|syscall.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, errors.New(lockFile + ": " + err.Error())
	}
	for {
		if err = syscall.Flock(fd, syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		_ = syscall.Close(fd)
		return nil, errors.New(lockFile + ": " + err.Error())
	}
	return func() { _ = syscall.Close(fd) }, nil
}

// open finds the way to the simulator: the virtio port if the machine has one,
// else a unix socket.
func open() (*port, error) {
	device, err := findDevice()
	if err != nil {
		return nil, err
	}
	if device != "" {
		fd, err := syscall.Open(device, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
		if err != nil {
			return nil, errors.New(device + ": " + err.Error())
		}
		return &port{ReadWriteCloser: stream(fd)}, nil
	}
	path := os.Getenv("VMWARE_RPC_SOCKET")
	if path == "" {
		path = defaultSocket
	}
	dial := func() (io.ReadWriteCloser, error) { return dial(path) }
	connection, err := dial()
	if err != nil {
		return nil, err
	}
	return &port{ReadWriteCloser: connection, redial: dial}, nil
}

// findDevice returns the path of the virtio port; empty if there is none. The
// links of /dev/virtio-ports are udev's, which a guest may not have.
func findDevice() (string, error) {
	entries, err := os.ReadDir(portFolder)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		name, err := os.ReadFile(filepath.Join(portFolder, entry.Name(), "name"))
		if err == nil && strings.TrimSpace(string(name)) == portName {
			return filepath.Join(deviceFolder, entry.Name()), nil
		}
	}
	return "", nil
}

func dial(path string) (io.ReadWriteCloser, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		_ = syscall.Close(fd)
		return nil, errors.New("there is no VMware hypervisor here (no virtio port " + portName + ", " + path + ": " + err.Error() + ")")
	}
	return stream(fd), nil
}

// stream is a file descriptor. os.File would bring the runtime's poller, whose
// start costs an emulated guest milliseconds.
type stream int

func (s stream) Read(p []byte) (int, error) {
	n, err := syscall.Read(int(s), p)
	return max(n, 0), err
}

func (s stream) Write(p []byte) (int, error) {
	n, err := syscall.Write(int(s), p)
	return max(n, 0), err
}

func (s stream) Close() error { return syscall.Close(int(s)) }
