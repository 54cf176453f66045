"""The guest's disk: Debian's tar, our files over it, as an ext4 file system.

No partition table and no boot loader: QEMU is given the kernel. Writes of a VM go to an overlay of its own
(e2e/simulator/qemu), never here.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from debian.rootfs import EPOCH, run
from vch_agent import firewall

SIZE = "8G"
_INODES = "131072"
_UUID = "76636800-0000-4000-8000-000000000001"
_MASKED = (
    # No udev: there is no hardware to come or go but what the initrd's drivers found.
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service",
    # A frozen machine's random seed on disk would be every clone's.
    "systemd-random-seed.service",
    "systemd-machine-id-commit.service",
    "systemd-firstboot.service",
    "systemd-logind.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-timesyncd.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-pstore.service",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "getty.target",
    "getty-static.service",
    "remote-fs.target",
    "e2scrub_reap.service",
    "dev-hugepages.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "modprobe@configfs.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "kmod-static-nodes.service",
    # Timers wake every clone for nothing.
    "timers.target",
)
_ENABLED = ("containerd.service", "kube-proxy.service", "kubelet.service", "vch-agent.service")
_NEEDED = ("nf_conncount", "nf_conntrack", "nf_nat", "nf_tables", "nfnetlink", "nft_fib", "nft_reject")
"""By those that `firewall.MODULES` names."""
_NEEDED_BY_FAMILY = ("nf_defrag", "nf_reject", "nft_fib", "nft_reject")
_DRIVERS = ("dummy", "veth")
LOADABLE = (
    *(f"kernel/drivers/net/{name}.ko" for name in _DRIVERS),
    "kernel/lib/libcrc32c.ko",
    *(f"kernel/net/netfilter/{name}.ko" for name in (*_NEEDED, *firewall.MODULES) if name not in _DRIVERS),
    *(f"kernel/net/{family}/netfilter/{name}_{family}.ko" for family in ("ipv4", "ipv6") for name in _NEEDED_BY_FAMILY),
)
"""Modules that a parent loads or may be told to, besides those of the initrd: this kernel has 90 MB of them."""
_REMOVED = ("var/cache", "var/lib/apt", "var/log", "etc/machine-id", "etc/hostname", "etc/resolv.conf", "etc/apt")


def assemble(tree: Path, base: Path, additions: Mapping[str, Path]) -> None:
    """Unpack the tar into `tree` and lay the additions (path in the guest: file or folder) over it.

    Raises BuildFailed, OSError.
    """
    tree.mkdir(mode=0o755)
    # The device files in it are not needed: /dev is a devtmpfs.
    run(["tar", "--extract", "--numeric-owner", "--exclude=./dev/*", "--file", base, "--directory", tree])
    for name in _REMOVED:
        run(["rm", "-rf", tree / name])
    for name, source in additions.items():
        _copy(source, tree / name.lstrip("/"))
    for folder in ("var/cache", "var/log", "etc/cni/net.d", "etc/vch"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    (tree / "etc/machine-id").touch(0o444)  # empty: systemd makes one in memory, the agent writes the clone's
    (tree / "etc/hostname").write_text("parent\n")
    (tree / "etc/hosts").write_text("127.0.0.1\tlocalhost parent\n::1\tlocalhost\n")
    (tree / "etc/resolv.conf").touch()
    (tree / "etc/fstab").write_text("")
    units = tree / "etc/systemd/system"
    for unit in _MASKED:
        (units / unit).unlink(missing_ok=True)
        (units / unit).symlink_to("/dev/null")
    run(["systemctl", f"--root={tree}", "--quiet", "enable", *_ENABLED])
    # The agent's byte code, which its unit does not write: compiled once here rather than at each boot of a slow guest.
    agent = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/usr/lib/vch"]
    run(["chroot", tree, "/usr/bin/python3", *agent])


def add_kernel(tree: Path, release: str, kernel: Path, initrd: Path, modules: Path) -> None:
    """What QEMU boots, for a guest to boot again with other parameters; and modules. Raises BuildFailed, OSError."""
    boot, folder = tree / "boot", tree / "lib/modules" / release
    boot.mkdir(exist_ok=True)
    shutil.copyfile(kernel, boot / f"vmlinuz-{release}")
    shutil.copyfile(initrd, boot / f"initrd.img-{release}")
    for name in (*LOADABLE, "modules.builtin", "modules.order"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(modules / name, folder / name)
    run(["chroot", tree, "/sbin/depmod", release])


def make(tree: Path, place: Path) -> None:
    """Write the tree as a sparse file with an ext4 file system. Raises BuildFailed, OSError."""
    date = int(EPOCH)
    for path in sorted(tree.rglob("*"), reverse=True):
        if path.lstat().st_mtime > date:
            os.utime(path, (date, date), follow_symlinks=False)
    os.utime(tree, (date, date))
    run(
        [
            *("mke2fs", "-q", "-t", "ext4", "-m", "0", "-N", _INODES, "-U", _UUID, "-J", "size=16"),
            *("-O", "^resize_inode,^metadata_csum_seed"),
            # Initialised now: doing it later is a kernel thread's work in every clone.
            *("-E", f"hash_seed={_UUID},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"),
            *("-d", tree, place, SIZE),
        ],
        E2FSPROGS_FAKE_TIME=EPOCH,
        SOURCE_DATE_EPOCH=EPOCH,
    )


def _copy(source: Path, target: Path) -> None:
    """A file, or everything below a folder, as root's. What is there already is overwritten."""
    target.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "-R", "--no-dereference", "--preserve=mode", "--no-target-directory", source, target])
    for compiled in target.rglob("__pycache__") if source.name == "vch_agent" else ():
        run(["rm", "-r", compiled])
