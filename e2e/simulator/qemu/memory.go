package qemu

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// memoryName shows in /proc/PID/smaps, by which a guest's RAM is told from the
// rest of its QEMU process.
const memoryName = "vch-guest-ram"

// newMemory makes the file that is a guest's RAM. It is a memfd: it needs no
// room on a file system, ends with its last user, and can be sealed.
func newMemory(megabytes int) (*os.File, error) {
	fd, err := unix.MemfdCreate(memoryName, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), memoryName)
	if err := file.Truncate(int64(megabytes) << 20); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("guest RAM of %d MiB: %w", megabytes, err)
	}
	return file, nil
}

// seal makes the memory unchangeable, for root too. The kernel refuses while
// anybody could still write to it.
func seal(memory *os.File) error {
	seals := unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(memory.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal guest RAM: %w", err)
	}
	return nil
}

// held is how much of the memory file is really there, in bytes.
func held(memory *os.File) int64 {
	var stat unix.Stat_t
	if err := unix.Fstat(int(memory.Fd()), &stat); err != nil {
		return 0
	}
	return stat.Blocks * 512
}

// usage is a process's use of a guest's RAM, in bytes.
type usage struct {
	Resident, Proportional, Private, Anonymous int64
}

// memoryUsage reads what a QEMU process uses of its guest's RAM, its own memory
// left out.
func memoryUsage(pid int) (usage, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return usage{}, err
	}
	defer file.Close()
	var total usage
	var found, inside bool
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := lines.Text()
		name, rest, isField := strings.Cut(line, ":")
		if !isField || strings.ContainsRune(name, '-') { // "7f..-7f.. rw-p 00000000 00:01 42   /memfd:..."
			inside = strings.Contains(line, "/memfd:"+memoryName)
			found = found || inside
			continue
		}
		if !inside {
			continue
		}
		number, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		switch name {
		case "Rss":
			total.Resident += number << 10
		case "Pss":
			total.Proportional += number << 10
		case "Private_Clean", "Private_Dirty":
			total.Private += number << 10
		case "Anonymous":
			total.Anonymous += number << 10
		}
	}
	if err := lines.Err(); err != nil {
		return usage{}, err
	}
	if !found {
		return usage{}, errors.New("the process does not map its guest's RAM (yet)")
	}
	return total, nil
}
