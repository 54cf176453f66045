package native

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"vch.dev/e2e/simulator/child"
	"vch.dev/e2e/simulator/guest"
	"vch.dev/e2e/simulator/lan"
	"vch.dev/e2e/simulator/rpc"
)

const (
	dataFolder  = "data"   // what outlives a power cycle
	rootFolder  = "root"   // where the guest's file tree is mounted, in its own namespace
	layerSuffix = "-layer" // of the folder beside it for what is written
	socketName  = "rpc.sock"
	consoleName = "console.log"
	nicName     = "eth" // before its number
)

// life is one run of a guest: its init, and everything below it.
type life struct {
	spawned time.Time
	console string
	host    guest.Host
	group   cgroup
	ended   chan struct{} // closed when init has ended, and all processes with it

	init   *exec.Cmd
	socket net.Listener
	veths  []string     // the cards' ends on the bridges
	clean  func() error // removes what is left, when init has ended; once
}

// begin starts a guest and returns when its init has all that it needs.
// freeze is called when it wants to; nil: it cannot.
func begin(config Config, vm guest.VM, host guest.Host, heard func(), freeze func(*life)) (*life, error) {
	l := &life{
		spawned: time.Now(), console: filepath.Join(vm.Dir, consoleName), host: host,
		group: cgroup{name: config.Cgroups + "-" + vm.ID}, ended: make(chan struct{}),
	}
	for card := range vm.Cards {
		l.veths = append(l.veths, lan.CardName("veth", card, vm.ID))
	}
	l.clean = sync.OnceValue(l.remove)
	undo := func(err error) (*life, error) { return nil, errors.Join(err, l.clean()) }
	if err := l.group.create(); err != nil {
		return undo(err)
	}
	if err := l.listen(filepath.Join(vm.Dir, socketName), rpc.MACs(vm.Cards), heard, freeze); err != nil {
		return undo(err)
	}
	told, tell, err := os.Pipe()
	if err != nil {
		return undo(err)
	}
	defer told.Close()
	defer tell.Close()
	if err := l.spawn(told); err != nil {
		return undo(err)
	}
	if err := l.equip(config, vm, tell); err != nil {
		l.kill()
		return undo(err)
	}
	return l, nil
}

func (l *life) listen(path string, macs []string, heard func(), freeze func(*life)) error {
	_ = os.Remove(path)
	socket, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	l.socket = socket
	go func() {
		for {
			connection, err := socket.Accept()
			if err != nil {
				return
			}
			session := rpc.Session{
				Host: l.host, MACs: macs, Seen: func(string) { heard() },
				Freeze: func(id string) {
					if freeze != nil {
						go freeze(l) // it ends this connection, and is never answered
						return
					}
					// A clone does not ask; an answer keeps a curious user from waiting.
					_ = rpc.Write(connection, rpc.Reply{ID: id, Value: "a native guest cannot be frozen"})
				},
			}
			go func() {
				defer connection.Close()
				_ = session.Serve(connection)
			}()
		}
	}()
	return nil
}

// spawn starts init in namespaces of its own. It waits for what it is told.
func (l *life) spawn(told *os.File) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	console, err := os.OpenFile(l.console, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	l.init = exec.Command(self, InitArgument)
	l.init.Stdout, l.init.Stderr = console, console
	l.init.ExtraFiles = []*os.File{told}
	l.init.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	l.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWIPC,
		Setsid: true,
	}
	if err := child.Start(l.init); err != nil {
		return fmt.Errorf("start the guest's init: %w", err)
	}
	go func() {
		_ = l.init.Wait()
		close(l.ended)
	}()
	return nil
}

// equip gives init cgroup, network cards and configuration; then it goes on.
func (l *life) equip(config Config, vm guest.VM, tell *os.File) error {
	if err := l.group.enter(l.pid()); err != nil {
		return err
	}
	if err := l.insert(vm.Cards); err != nil {
		return err
	}
	return json.NewEncoder(tell).Encode(initConfig{
		Image: config.Image, Cgroup: "/" + l.group.name,
		Data: filepath.Join(vm.Dir, dataFolder), Root: filepath.Join(vm.Dir, rootFolder),
		Socket: filepath.Join(vm.Dir, socketName),
	})
}

// insert puts the network cards into the guest.
func (l *life) insert(cards []guest.Card) error {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", l.pid()))
	if err != nil {
		return err
	}
	defer namespace.Close()
	for i, card := range cards {
		mac, err := net.ParseMAC(card.MAC)
		if err != nil {
			return err
		}
		if err := lan.NewVeth(l.veths[i], card.Port, nicName+strconv.Itoa(i), mac, namespace); err != nil {
			return err
		}
	}
	return nil
}

// connect plugs the cards into other ports. Cards that the guest was not
// started with come with its next start.
func (l *life) connect(cards []guest.Card) error {
	var err error
	for i, name := range l.veths[:min(len(l.veths), len(cards))] {
		err = errors.Join(err, lan.Plug(name, cards[i].Port))
	}
	return err
}

func (l *life) pid() int { return l.init.Process.Pid }

// kill ends all processes: with the first one of a process namespace the kernel
// ends the others.
func (l *life) kill() {
	_ = l.init.Process.Kill()
	<-l.ended
}

// remove is what clean does. The veths would go with their namespace, but the
// kernel takes its time for that, and the next start wants the name.
func (l *life) remove() error {
	var err error
	if l.socket != nil {
		err = l.socket.Close()
	}
	for _, name := range l.veths {
		err = errors.Join(err, lan.Remove(name))
	}
	return errors.Join(err, l.group.remove())
}
