"""The initrd: busybox, a shell script and the few drivers without which there is no disk.

A cpio archive is written here rather than by cpio(1): its entries' order, owners, dates and inode numbers are then the
same every time.
"""

import gzip
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODULES = (
    # In an order in which each finds those that it needs. ext4 is built in.
    "kernel/drivers/virtio/virtio_ring.ko",
    "kernel/drivers/virtio/virtio.ko",
    "kernel/drivers/virtio/virtio_pci_legacy_dev.ko",
    "kernel/drivers/virtio/virtio_pci_modern_dev.ko",
    "kernel/drivers/virtio/virtio_pci.ko",
    "kernel/drivers/block/virtio_blk.ko",
    "kernel/net/core/failover.ko",
    "kernel/drivers/net/net_failover.ko",
    "kernel/drivers/net/virtio_net.ko",
    "kernel/drivers/char/virtio_console.ko",
    "kernel/fs/overlayfs/overlay.ko",
)
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file (with content), folder or device of the archive."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def make(init: Path, busybox: Path, modules: Path) -> bytes:
    """The initrd's bytes. Raises OSError, naming a module that this kernel does not have."""
    return gzip.compress(cpio(entries(init, busybox, modules)), mtime=0)


def entries(init: Path, busybox: Path, modules: Path) -> Iterator[Entry]:
    """What is in the initrd. Raises OSError."""
    for folder in ("bin", "dev", "modules", "proc", "root"):
        yield Entry(folder, stat.S_IFDIR | 0o755)
    yield Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    yield Entry("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    yield Entry("init", stat.S_IFREG | 0o755, init.read_bytes())
    for module in MODULES:
        yield Entry(f"modules/{Path(module).name}", stat.S_IFREG | 0o644, (modules / module).read_bytes())
    order = "".join(f"{Path(module).name}\n" for module in MODULES)
    yield Entry("modules/order", stat.S_IFREG | 0o644, order.encode())


def cpio(members: Iterator[Entry]) -> bytes:
    """The `newc` archive that the kernel unpacks (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    archive = bytearray()
    for inode, member in enumerate((*members, Entry(_TRAILER, 0)), start=1):
        name = member.name.encode() + b"\0"
        fields = (
            *(inode, member.mode, 0, 0, 1, 0, len(member.content)),
            *(0, 0, *member.device, len(name), 0),
        )
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        archive += bytes(-len(archive) % 4) + member.content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)
