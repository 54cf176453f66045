"""What the laboratory needs of the machine: looked for as programs, installed as Debian packages after naming them.

A program that is there already, from wherever (a Docker installation brings containerd and runc), is left alone. Go and
Python are not installed: which ones to use is the user's choice.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import progress
from e2e.lab.errors import LabError

_GO = (1, 24)  # with it, a newer toolchain that a go.mod asks for is fetched by Go itself


@dataclass(frozen=True, slots=True)
class Need:
    """A program (a name on PATH, or a file) and the Debian package that has it."""

    program: str
    package: str
    what_for: str


NEEDS = (
    Need("ip", "iproute2", "network namespaces and bridges"),
    Need("dnsmasq", "dnsmasq-base", "DHCP servers of tests"),
    Need("nft", "nftables", "what the laboratory's networks keep apart"),
    Need("nsenter", "util-linux", "programs in namespaces"),
    Need("openssl", "openssl", "keys of the control plane and of guests"),
    Need("qemu-system-x86_64", "qemu-system-x86", "QEMU guests"),
    Need("qemu-img", "qemu-utils", "disks of QEMU guests"),
    Need("mmdebstrap", "mmdebstrap", "the guest image"),
    Need("mke2fs", "e2fsprogs", "the guest image"),
    Need("cpio", "cpio", "the guest image"),
    Need("/bin/busybox", "busybox-static", "the test images"),
    Need("nft", "nftables", "the gateway namespace of native guests"),
    Need("containerd", "containerd", "native guests, preloaded images"),
    Need("runc", "runc", "native guests"),
    Need("/usr/lib/cni/loopback", "containernetworking-plugins", "native guests"),
    Need("promtool", "prometheus", "dashboards and alerts: their queries and cases are promtool's to judge"),
    Need("prometheus", "prometheus", "dashboards and alerts: a Prometheus that scrapes the virtual nodes"),
    Need("/etc/ssl/certs/ca-certificates.crt", "ca-certificates", "downloads"),
)
"""busybox must be the static one (it is copied into images that have no libraries), whose place is /bin."""


def ensure(needs: Sequence[Need] = NEEDS) -> None:
    """Everything is there when this returns; what cannot be is named with the remedy."""
    _check_machine()
    _check_go()
    missing = [need for need in needs if not _there(need)]
    if missing:
        _install(missing)
    still = [need for need in missing if not _there(need)]
    if still:
        raise LabError(f"still missing after installing: {_names(still)}. Remedy: apt-get install {_packages(still)}")


def install(packages: Iterable[str]) -> None:
    """Installs Debian packages by name, saying so first."""
    wanted = sorted(set(packages))
    listed = " ".join(wanted)
    if shutil.which("apt-get") is None:
        raise LabError(f"missing, and this is no Debian or Ubuntu: install what they call {listed}, then try again")
    progress.say(f"These Debian packages are missing and are installed now: {listed}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with progress.step("Installing Debian packages"):
        _apt(["update", "-q"], environment, f"apt-get update && apt-get install {listed}")
        _apt(["install", "-q", "-y", "--no-install-recommends", *wanted], environment, f"apt-get install {listed}")


def _install(missing: list[Need]) -> None:
    for need in missing:
        progress.say(f"missing: {need.program}, for {need.what_for} (Debian package {need.package})")
    install(need.package for need in missing)


def _apt(arguments: list[str], environment: dict[str, str], remedy: str) -> None:
    done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"apt-get {arguments[0]} failed: {done.stderr.strip()}\nRemedy: run `{remedy}` and try again")


def _there(need: Need) -> bool:
    if need.program.startswith("/"):
        return Path(need.program).exists()
    return shutil.which(need.program) is not None


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise LabError("root is needed (network namespaces, mounts, guests). Remedy: run it with sudo, or as root")
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise LabError(f"Linux on x86_64 is needed, this is {sys.platform} on {os.uname().machine}")


def _check_go() -> None:
    found = shutil.which("go")
    if found is None:
        raise LabError("go is missing. Remedy: install Go 1.26 or later (go.dev/dl) and put its bin folder on PATH")
    printed = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"go(\d+)\.(\d+)", printed)
    if version is None or (int(version[1]), int(version[2])) < _GO:
        raise LabError(f"{found} is too old ({printed.strip()}). Remedy: install Go 1.26 or later and put it on PATH")


def _names(needs: list[Need]) -> str:
    return ", ".join(need.program for need in needs)


def _packages(needs: list[Need]) -> str:
    return " ".join(sorted({need.package for need in needs}))
