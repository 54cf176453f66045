"""The Debian part of the guest: a tar of packages unpacked and configured, and the kernel beside it.

Made by mmdebstrap from Debian's mirrors and nothing else, kept in the cache under what it was asked for. What makes the
tar a pod VM's disk is in `disk`, so that a change of ours does not fetch Debian again.
"""

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import cache, debian, progress

PACKAGES = (
    "ca-certificates",
    "containerd",
    "containernetworking-plugins",
    "kmod",
    "nftables",
    "openssl",
    "python3",
    "runc",
    "systemd",
)
KERNEL = "linux-image-cloud-amd64"
EPOCH = "1700000000"
"""No file is dated later: the same packages make the same bytes."""
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")
_KERNEL_HOOK = """set -eu
cd "$MMDEBSTRAP_VCH_FOLDER"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
apt-get download -q "$(apt-cache depends --important {kernel} | sed -n 's/^ *Depends: //p')" >&2
dpkg-query --admindir="$1/var/lib/dpkg" --show >packages.txt
"""


class BuildFailed(Exception):
    """A program of the build failed; the message has what it said last."""


@dataclass(frozen=True, slots=True)
class Base:
    """What this module makes."""

    folder: Path

    @property
    def tar(self) -> Path:
        return self.folder / "rootfs.tar"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def modules(self) -> Path:
        """The kernel's modules, by their paths below /lib/modules/<version>."""
        return self.folder / "modules"

    @property
    def release(self) -> str:
        """The kernel's, as `uname -r` says it."""
        return (self.folder / "kernel-version").read_text()

    @property
    def packages(self) -> list[str]:
        """`name<tab>version` of everything installed."""
        return (self.folder / "packages.txt").read_text().splitlines()


def make(root: Path) -> Base:
    """The base, made if it is not in the cache. Raises BuildFailed, OSError."""
    key = cache.key(
        "debian",
        *debian.origin(),
        *PACKAGES,
        KERNEL,
        EPOCH,
        *_EXCLUDED,
        _KERNEL_HOOK,
    )
    return Base(cache.entry(root, key, _build))


def run(arguments: Sequence[str | Path], **environment: str) -> None:
    """Run a program that has to succeed. Raises BuildFailed."""
    done = subprocess.run(
        arguments, env={**os.environ, **environment}, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-15:])
        raise BuildFailed(f"{shlex.join(map(str, arguments))} ended with {done.returncode}:\n{said}")


def _build(folder: Path) -> None:
    base = Base(folder)
    hook = folder / "hook"
    hook.write_text(_KERNEL_HOOK.format(kernel=KERNEL))
    with progress.step(f"Debian {debian.SUITE} packages of the guest"):
        run(
            [
                *("mmdebstrap", "--mode=root", "--variant=essential", f"--include={','.join(PACKAGES)}"),
                *("--aptopt=Apt::Install-Recommends false", "--aptopt=APT::Sandbox::User root"),
                *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
                *(f'--customize-hook=sh {shlex.quote(str(hook))} "$1"', debian.SUITE, base.tar),
                *debian.sources(),
            ],
            SOURCE_DATE_EPOCH=EPOCH,
            MMDEBSTRAP_VCH_FOLDER=str(folder),
        )
    hook.unlink()
    _unpack_kernel(base)


def _unpack_kernel(base: Base) -> None:
    """Keep kernel and modules only: the package itself would want an initramfs made inside the guest."""
    (package,) = base.folder.glob("linux-image-*.deb")
    tree = base.folder / "kernel"
    run(["dpkg-deb", "--extract", package, tree])
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    kernel.rename(base.kernel)
    (modules,) = (tree / "lib/modules").iterdir()
    modules.rename(base.modules)
    (base.folder / "kernel-version").write_text(modules.name)
    with (base.folder / "packages.txt").open("a") as packages:
        packages.write(package.name.removesuffix("_amd64.deb").replace("_", "\t") + "\n")
    run(["rm", "-r", tree, package])
