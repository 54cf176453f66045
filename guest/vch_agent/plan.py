"""From a setup to the steps that make it true, in their order. Pure.

The kernel first: its boot undoes what is not on the disk. Then what pulling needs, then the pulls, with a network that
is there for them alone. `after_boot` is what a clone that boots has to repeat, since the disk does not keep it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from . import registries, trust
from .settings import Platform
from .setup import Network, Setup

_DROP_IN = "/etc/systemd/system/containerd.service.d/vch-proxy.conf"
_NAMESPACED = ("net.", "kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")
"""Sysctls that a guest without a kernel of its own has to itself, as in Kubernetes' documentation."""


class Unsupported(ValueError):
    """This guest cannot have what is asked for; the message names the field."""


@dataclass(frozen=True, slots=True)
class Boot:
    """Have the kernel running with these parameters."""

    at: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """A file."""

    at: str
    path: str
    content: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Trust:
    """Certificates among those that the system trusts."""

    at: str
    bundle: str


@dataclass(frozen=True, slots=True)
class Environment:
    """A drop-in with containerd's environment."""

    at: str
    path: str
    content: str


@dataclass(frozen=True, slots=True)
class LoadModule:
    """A kernel module."""

    at: str
    name: str


@dataclass(frozen=True, slots=True)
class SetSysctl:
    """A kernel setting."""

    at: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Connect:
    """The network card up, with an address, unless all these images are there: then nothing is pulled, and the address
    may be another machine's by now.
    """

    at: str
    network: Network
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pull:
    """An image into containerd."""

    at: str
    image: str
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Nothing of `Connect` left."""

    at: str


Step = Boot | Write | Trust | Environment | LoadModule | SetSysctl | Connect | Pull | Disconnect


def steps(setup: Setup, platform: Platform) -> list[Step]:
    """Everything, for a parent. Raises Unsupported before anything is done."""
    _possible(setup, platform)
    return [*_kernel(setup), *_files(setup, platform), *_volatile(setup), *_pulls(setup)]


def after_boot(setup: Setup, platform: Platform) -> list[Step]:
    """What a booting clone repeats; a native guest's files are in memory too."""
    written = _files(setup, platform) if platform is Platform.NATIVE else ()
    return [*written, *_volatile(setup)]


def _possible(setup: Setup, platform: Platform) -> None:
    if platform is Platform.VM:
        return
    shared = "a native guest shares the kernel of its host"
    if setup.kernel_parameters:
        raise Unsupported(f"setup.kernelParameters: {shared}")
    if setup.kernel_modules:
        raise Unsupported(f"setup.kernelModules: {shared}")
    if setup.proxy.environment():
        raise Unsupported("setup.proxy: the containerd of a native guest is started without an environment of its own")
    for name in setup.sysctls:
        if not name.replace("/", ".").startswith(_NAMESPACED):
            raise Unsupported(f"setup.sysctls.{name}: {shared}, and this one has no namespace")


def _kernel(setup: Setup) -> Iterator[Step]:
    if setup.kernel_parameters:
        yield Boot("setup.kernelParameters", setup.kernel_parameters)


def _files(setup: Setup, platform: Platform) -> Iterator[Step]:
    for path, content in registries.hosts_files(setup).items():
        yield Write("setup.registries" if path.endswith(".toml") else "setup.caBundle", path, content)
    if setup.ca_bundle:
        yield Write("setup.caBundle", trust.FILE, setup.ca_bundle)
        yield Trust("setup.caBundle", setup.ca_bundle)
    if (told := setup.proxy.environment()) and platform is Platform.VM:
        lines = "".join(f'Environment="{name}={_escaped(value)}"\n' for name, value in told.items())
        yield Environment("setup.proxy", _DROP_IN, f"[Service]\n{lines}")
    for file in setup.files:
        yield Write(f"setup.files {file.path}", file.path, file.content, file.mode)


def _volatile(setup: Setup) -> Iterator[Step]:
    for module in setup.kernel_modules:  # first: some bring sysctls
        yield LoadModule(f"setup.kernelModules {module}", module)
    for name, value in setup.sysctls.items():
        yield SetSysctl(f"setup.sysctls.{name}", name, value)


def _pulls(setup: Setup) -> Iterator[Step]:
    if not setup.preload_images:
        return
    if setup.network is not None:
        yield Connect("setup.network", setup.network, setup.preload_images)
    for image in setup.preload_images:
        yield Pull(f"setup.preloadImages {image}", image, setup.proxy.environment())
    if setup.network is not None:
        yield Disconnect("setup.network")


def _escaped(value: str) -> str:
    """For a double-quoted string of a unit file (systemd.syntax(7))."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
