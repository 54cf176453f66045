"""The guest image of the simulator's QEMU guests.

`guest/debian/build.py --cache DIR --kubelet PATH --kube-proxy PATH --rpctool PATH`. A small Debian in the place of
Photon: the same units, agent, kubelet and kube-proxy. Makes DIR/guest-<hash>/ with vmlinuz, initrd.gz, base.raw and
manifest.json, and prints the folder as its last line. Only Debian's packages are downloaded. Needs root and the
programs of the packages in README.md.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_CHECKOUT), str(_CHECKOUT / "guest")]

from debian import disk, initrd, rootfs  # noqa: E402
from debian.rootfs import Base, BuildFailed  # noqa: E402
from images import archive, containerd  # noqa: E402
from images import build as images  # noqa: E402

from e2e.lab import cache, debian, progress  # noqa: E402
from e2e.lab.errors import LabError  # noqa: E402

_GUEST = _CHECKOUT / "guest"
_HERE = _GUEST / "debian"


def additions(kubelet: Path, kube_proxy: Path, rpctool: Path) -> dict[str, Path]:
    """What is laid over Debian: path in the guest, and the file or folder that goes there."""
    return {
        "/": _HERE / "files",
        "/etc/systemd/system": _GUEST / "units",
        "/etc/containerd/config.toml": _GUEST / "containerd/config.toml",
        "/etc/cni/net.d/10-vch.conflist": _GUEST / "containerd/10-vch.conflist",
        "/usr/lib/vch/vch_agent": _GUEST / "vch_agent",
        "/usr/bin/kubelet": kubelet,
        "/usr/bin/kube-proxy": kube_proxy,
        "/usr/bin/vmware-rpctool": rpctool,
    }


def make(root: Path, kubelet: Path, kube_proxy: Path, rpctool: Path) -> Path:
    """The image's folder, made if it is not in the cache. Raises BuildFailed, PopulateFailed, OSError."""
    preloaded = images.make(root)
    base = rootfs.make(root)
    added = additions(kubelet, kube_proxy, rpctool)
    inputs: list[str | Path] = [
        preloaded.name,
        base.folder.name,
        *sorted(_HERE.glob("*.py")),
        _HERE / "init",
        archive.BUSYBOX,
    ]
    for place, source in added.items():
        inputs += [place, source]
    key = cache.key("guest", *inputs)
    # Named by its contents already, and full of links that lead out of it.
    added["/var/lib/containerd"] = preloaded / "containerd"
    return cache.entry(root, key, lambda folder: _build(folder, base, added, key))


def _build(folder: Path, base: Base, added: dict[str, Path], key: str) -> None:
    shutil.copy(base.kernel, folder / "vmlinuz")
    with progress.step("Guest's initrd"):
        (folder / "initrd.gz").write_bytes(initrd.make(_HERE / "init", archive.BUSYBOX, base.modules))
    with tempfile.TemporaryDirectory(prefix="tree-", dir=folder) as scratch:
        tree = Path(scratch) / "root"
        with progress.step("Guest's file tree"):
            disk.assemble(tree, base.tar, added)
            disk.add_kernel(tree, base.release, base.kernel, folder / "initrd.gz", base.modules)
        with progress.step("Guest's disk"):
            disk.make(tree, folder / "base.raw")
    manifest = {
        "name": key,
        "suite": debian.SUITE,
        "kernel": base.release,
        "packages": dict(line.split("\t") for line in base.packages),
        "images": [image.name for image in archive.IMAGES],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps what was built")
    parser.add_argument("--kubelet", type=Path, required=True, help="the kubelet's program, linked statically")
    parser.add_argument("--kube-proxy", type=Path, required=True, help="kube-proxy's program, linked statically")
    parser.add_argument("--rpctool", type=Path, required=True, help="the guest's vmware-rpctool")
    arguments = parser.parse_args()
    try:
        programs = (arguments.kubelet, arguments.kube_proxy, arguments.rpctool)
        print(make(arguments.cache.resolve(), *(program.resolve() for program in programs)))
    except (BuildFailed, containerd.PopulateFailed, LabError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
