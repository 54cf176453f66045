package qemu

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// newLayer makes an empty qcow2 disk layer over another disk.
func newLayer(ctx context.Context, path, base, format string) error {
	output, err := exec.CommandContext(ctx, "qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", format, path).
		CombinedOutput()
	if err != nil {
		return fmt.Errorf("disk %s: %w: %s", path, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// copyLayer makes a disk layer from an empty one over the same base: a few
// hundred kilobytes to copy instead of a program to start.
func copyLayer(path, empty string) error {
	from, err := os.Open(empty)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		return err
	}
	return to.Close()
}
