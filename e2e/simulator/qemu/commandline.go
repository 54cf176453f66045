package qemu

import (
	"fmt"
	"strings"
)

const (
	program = "qemu-system-x86_64"
	// rpcPort is the name by which vmware-rpctool finds its port in the guest.
	rpcPort = "vmware.rpc"
	// kernelArguments: panic=-1 and -no-reboot make a panic the end of QEMU;
	// random.trust_cpu because nothing else seeds an emulated machine early.
	kernelArguments = "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on net.ifnames=0"
)

// descriptors are the file descriptors that QEMU inherits, by their numbers
// there.
type descriptors struct {
	monitor, rpc, memory, state int
	taps                        int // of the first card; those of the others follow
}

// inherited is the order in which process.go passes them.
var inherited = descriptors{monitor: 3, rpc: 4, memory: 5, state: 6, taps: 7}

// firstCard is the PCI slot of the first card; the others follow.
const firstCard = 4

// card is a network card as its machine has it.
type card struct {
	MAC  string
	Link bool // it has a carrier; that is part of a saved state
}

// name is how the monitor calls a card.
func (card) name(number int) string { return fmt.Sprintf("card%d", number) }

// machine is what a QEMU process is started with.
type machine struct {
	Accelerator accelerator
	CPUs        int
	MemoryMB    int
	Cards       []card
	Kernel      string
	Initrd      string
	Disk        string
	Console     string
	// Shared: RAM is the memory file itself; else a private copy-on-write
	// mapping of it.
	Shared bool
	// Incoming: the machine goes on from a saved state instead of booting.
	Incoming bool
	// Bare: the saved state is of devices alone, without the section that says
	// what machine it is of, see monitor.saveDevices.
	Bare bool
}

// arguments is QEMU's command line. Machines that share a saved state must have
// the same devices at the same places.
func (m machine) arguments() []string {
	share := "off"
	if m.Shared {
		share = "on"
	}
	arguments := []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "q35,memory-backend=ram,vmport=off,smbus=off,hpet=off,suppress-vmdesc=on",
		"-accel", m.Accelerator.option, "-cpu", m.Accelerator.cpu,
		"-smp", fmt.Sprint(m.CPUs), "-m", fmt.Sprintf("%dM", m.MemoryMB),
		"-object", fmt.Sprintf("memory-backend-file,id=ram,size=%dM,mem-path=/proc/self/fd/%d,share=%s",
			m.MemoryMB, inherited.memory, share),
		"-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", inherited.monitor), "-mon", "chardev=monitor,mode=control",
		"-chardev", "file,id=console,append=on,path=" + escaped(m.Console), "-serial", "chardev:console",
		"-blockdev", "driver=qcow2,node-name=disk,discard=unmap,file.driver=file,file.filename=" + escaped(m.Disk),
		"-device", "virtio-blk-pci,drive=disk,addr=0x2",
		"-chardev", fmt.Sprintf("socket,id=rpc,fd=%d", inherited.rpc),
		"-device", "virtio-serial-pci,id=serial,addr=0x3,max_ports=2",
		"-device", "virtserialport,bus=serial.0,nr=1,chardev=rpc,name=" + rpcPort,
		"-kernel", m.Kernel, "-initrd", m.Initrd, "-append", kernelArguments,
	}
	for i, card := range m.Cards {
		arguments = append(arguments,
			"-netdev", fmt.Sprintf("tap,id=lan%d,fd=%d", i, inherited.taps+i),
			// A card that can have its guest announce it loses a timer by announce-rounds=0 (below), without which QEMU
			// crashes when the guest resets the card: virtio_net_post_load_device and virtio_net_reset of QEMU 7.2.
			"-device", fmt.Sprintf("virtio-net-pci,id=%s,netdev=lan%d,addr=%#x,romfile=,guest_announce=off,mac=%s",
				card.name(i), i, firstCard+i, card.MAC))
	}
	if m.Incoming {
		// A clone's cards still have its parent's addresses: those must not be announced.
		// Where the state comes from is said when it is known how to read it, see
		// monitor.load.
		arguments = append(arguments, "-global", "migration.announce-rounds=0", "-incoming", "defer")
		if m.Bare {
			arguments = append(arguments, "-global", "migration.send-configuration=off")
		}
	}
	return arguments
}

// escaped is a value inside one of QEMU's comma separated options.
func escaped(value string) string { return strings.ReplaceAll(value, ",", ",,") }
