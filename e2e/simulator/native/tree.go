package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What a guest image holds.
const (
	imageKubelet    = "kubelet"
	imageProxy      = "kube-proxy"
	imageRPCTool    = "vmware-rpctool"
	imageAgent      = "agent"           // on PYTHONPATH
	imageContainerd = "containerd.toml" // its configuration
	imageCNI        = "10-vch.conflist"
	imageStore      = "containerd" // its root folder, images imported

	storeFolder = "/var/lib/containerd" // where that goes

	imageMount = "/run/image"
	rpcSocket  = "/run/vmware-rpc.sock"
)

// kept are the folders that outlive a power cycle. containerd's has to be on a
// real file system: overlays cannot lie on each other.
var kept = []string{storeFolder, "/var/lib/kubelet", "/var/lib/vch"}

// sysctls are those that the kubelet insists on writing. They are the machine's,
// so it gets files in their place that say what it wants already.
var sysctls = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// enterTree makes the guest's file tree and makes it the root: the machine's
// files, with all that is written on a layer in memory, but for what is kept.
func enterTree(config initConfig) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := prepareData(config); err != nil {
		return err
	}
	if err := mountRoot(config.Root); err != nil {
		return err
	}
	at := func(path string) string { return filepath.Join(config.Root, path) }
	steps := []error{
		mount("proc", at("/proc"), "proc", 0, ""),
		bind("/sys", at("/sys"), unix.MS_REC),
		bind("/dev", at("/dev"), unix.MS_REC),
		mount("tmpfs", at("/run"), "tmpfs", unix.MS_NOSUID, "mode=755"),
		mount("tmpfs", at("/tmp"), "tmpfs", unix.MS_NOSUID, "mode=1777"),
	}
	for _, folder := range []string{"/run/vch", "/run/containerd", imageMount, "/var/log/pods", "/etc/cni/net.d"} {
		steps = append(steps, os.MkdirAll(at(folder), 0o755))
	}
	steps = append(steps,
		bind(config.Image, at(imageMount), unix.MS_REC),
		os.WriteFile(at(rpcSocket), nil, 0o600),
		bind(config.Socket, at(rpcSocket), 0),
	)
	for _, folder := range kept {
		steps = append(steps, os.MkdirAll(at(folder), 0o755), bind(filepath.Join(config.Data, folder), at(folder), 0))
	}
	if err := errors.Join(steps...); err != nil {
		return err
	}
	if err := onlyOurNetworks(config, at("/etc/cni/net.d")); err != nil {
		return err
	}
	for name, value := range sysctls {
		if err := coverSysctl(config.Root, name, value); err != nil {
			return err
		}
	}
	return pivot(config.Root)
}

// prepareData makes the folders that are kept, at the guest's first start.
func prepareData(config initConfig) error {
	for _, folder := range kept {
		place := filepath.Join(config.Data, folder)
		if _, err := os.Stat(place); err == nil {
			continue
		}
		if folder == storeFolder {
			if err := copyStore(filepath.Join(config.Image, imageStore), place); err != nil {
				return fmt.Errorf("copy the images: %w", err)
			}
		} else if err := os.MkdirAll(place, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// inherited are those that a clone has from its parent, where that has ever run.
var inherited = []string{storeFolder, "/var/lib/vch"}

// inherit gives a clone what its parent was prepared with.
func inherit(parent, clone string) error {
	for _, folder := range inherited {
		source := filepath.Join(parent, dataFolder, folder)
		if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := copyStore(source, filepath.Join(clone, dataFolder, folder)); err != nil {
			return fmt.Errorf("copy the parent's %s: %w", folder, err)
		}
	}
	return nil
}

// copyStore copies a folder, such as containerd's root, whole or not at all: the guest may
// be powered off meanwhile.
func copyStore(source, place string) error {
	unfinished := place + ".new"
	if err := errors.Join(os.RemoveAll(unfinished), os.MkdirAll(filepath.Dir(place), 0o700)); err != nil {
		return err
	}
	// cp, since owners, modes and links of the images' files have to stay as they are.
	if said, err := exec.Command("cp", "-a", source, unfinished).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	return os.Rename(unfinished, place)
}

// mountRoot lays a layer in memory over the machine's files.
func mountRoot(root string) error {
	layer := root + layerSuffix
	if err := errors.Join(os.MkdirAll(root, 0o755), os.MkdirAll(layer, 0o700)); err != nil {
		return err
	}
	if err := mount("tmpfs", layer, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	upper, work := filepath.Join(layer, "upper"), filepath.Join(layer, "work")
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755)); err != nil {
		return err
	}
	return mount("overlay", root, "overlay", 0, fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", upper, work))
}

// onlyOurNetworks leaves one CNI configuration: the machine's are not the
// guest's.
func onlyOurNetworks(config initConfig, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(filepath.Join(config.Image, imageCNI))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, imageCNI), text, 0o644)
}

func coverSysctl(root, name, value string) error {
	target := filepath.Join(root, "proc/sys", name)
	if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	source := filepath.Join(root, "run/sysctl", filepath.Base(filepath.Dir(name))+"."+filepath.Base(name))
	if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(source, []byte(value+"\n"), 0o644); err != nil {
		return err
	}
	return bind(source, target, 0)
}

// pivot makes root the root, and lets go of the old one.
func pivot(root string) error {
	const old = ".machine"
	if err := os.MkdirAll(filepath.Join(root, "run", old), 0o700); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, filepath.Join(root, "run", old)); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount(filepath.Join("/run", old), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the machine's root: %w", err)
	}
	return os.Remove(filepath.Join("/run", old))
}

func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s on %s: %w", kind, target, err)
	}
	return nil
}

func bind(source, target string, flags uintptr) error {
	return mount(source, target, "", unix.MS_BIND|flags, "")
}
