package qemu

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// accelerator is how guests' instructions are executed.
type accelerator struct {
	name   string
	option string // of -accel
	cpu    string // of -cpu
}

var (
	kvm = accelerator{"kvm", "kvm", "host"}
	// One thread: guests have one CPU as a rule, and a host of two cores many guests.
	tcg = accelerator{"tcg", "tcg,thread=single", "max"}
)

const (
	kvmDevice = "/dev/kvm"
	// A kernel's banner takes half a second where KVM works.
	kvmAnswersWithin = 5 * time.Second
)

// chooseAccelerator returns KVM where it works, else emulation.
//
// That /dev/kvm can be opened and makes VMs is not enough: inside some virtual
// machines it does both and then never executes an instruction. So a kernel is
// started and has to say something.
func chooseAccelerator(kernel string, log *slog.Logger) accelerator {
	if unix.Access(kvmDevice, unix.R_OK|unix.W_OK) != nil {
		log.Info("guests are emulated, there is no usable " + kvmDevice)
		return tcg
	}
	if !kernelSpeaks(kernel) {
		log.Info("guests are emulated, " + kvmDevice + " does not execute a kernel")
		return tcg
	}
	log.Info("guests run on KVM")
	return kvm
}

// kernelSpeaks starts a kernel on KVM and says whether it came as far as its
// banner: past real mode, decompression and the set-up of its page tables.
func kernelSpeaks(kernel string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), kvmAnswersWithin)
	defer cancel()
	command := exec.CommandContext(ctx, program, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-machine", "q35", "-accel", kvm.option, "-cpu", kvm.cpu, "-m", "256M", "-serial", "stdio",
		"-kernel", kernel, "-append", "console=ttyS0 panic=-1")
	said, err := command.StdoutPipe()
	if err != nil || command.Start() != nil {
		return false
	}
	spoke := false
	for lines := bufio.NewScanner(said); !spoke && lines.Scan(); {
		spoke = bytes.Contains(lines.Bytes(), []byte("Linux version"))
	}
	cancel()
	_ = command.Wait()
	return spoke
}
