"""Everything that preparing a parent does to its machine: the one seam, so that tests can watch it.

Each method may be called again and changes nothing then. What is done, and in which order, is `plan`'s.
"""

import asyncio
import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from . import files, guestinfo, health, images, kernel, nic, process, trust
from .guestinfo import GuestInfo
from .nic import Cards
from .parent import Image
from .process import ProgramFailed
from .settings import Settings
from .setup import Network

log = logging.getLogger(__name__)

_CONTAINERD_WITHIN = 120.0
_LOOK_EVERY = 0.2


class System:
    """The guest's own machine."""

    def __init__(self, settings: Settings, hypervisor: GuestInfo) -> None:
        self._settings = settings
        self._hypervisor = hypervisor
        self._cards = Cards(settings.nic, settings.pod_nic)

    def write(self, path: str, content: str, mode: int) -> bool:
        """The file; whether it was another before. Raises OSError."""
        place = self._at(path)
        if place.is_file() and files.read(place) == content and place.stat().st_mode & 0o7777 == mode:
            return False
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        files.write(place, content, mode)
        return True

    def trust(self, bundle: str) -> None:
        """Certificates in the bundle that the distribution has. Raises OSError."""
        for place in (self._at(path).resolve() for path in trust.BUNDLES):
            if place.is_file():
                files.write(place, trust.within(place.read_text(), bundle), 0o644)
                return

    def set_sysctl(self, name: str, value: str) -> None:
        """A kernel setting; raises OSError where there is none of that name, or the kernel does not want the value."""
        path = name if "/" in name else name.replace(".", "/")
        self._at(f"/proc/sys/{path}").write_text(f"{value}\n")

    async def load_module(self, name: str) -> None:
        """A module of the running kernel, and those that it needs. Raises ProgramFailed."""
        await process.check(["modprobe", name])

    async def have_modules(self, names: Collection[str]) -> None:
        """Those that are going to be needed; a kernel that has one built in, or not at all, is not failed for that."""
        try:
            await process.check(["modprobe", "--all", *names])
        except ProgramFailed as error:
            log.warning("%s", error)

    def command_line(self) -> str:
        """What the kernel was started with. Raises OSError."""
        return kernel.command_line(self._settings.root)

    def boot(self, parameters: tuple[str, ...]) -> None:
        """Does not return. Raises CannotBoot."""
        kernel.boot(self._settings.root, parameters)

    async def restart_containerd(self) -> None:
        """Its environment has changed. Raises ProgramFailed."""
        await process.check(["systemctl", "daemon-reload"])
        await process.check(["systemctl", "restart", "containerd.service"], _CONTAINERD_WITHIN)
        await self._containerd()

    async def _containerd(self) -> None:
        try:
            async with asyncio.timeout(_CONTAINERD_WITHIN):
                while not await health.containerd_up(self._settings):  # noqa: ASYNC110 - its socket tells nobody
                    await asyncio.sleep(_LOOK_EVERY)
        except TimeoutError:
            raise ProgramFailed(f"containerd does not answer after {_CONTAINERD_WITHIN:.0f} s") from None

    async def connect(self, network: Network) -> None:
        """The card with this address. A fork's still has its base's MAC. Raises OSError, NoInterface, ProgramFailed."""
        mac = await self._hypervisor.get(guestinfo.MAC)
        if mac is None:
            nic.rebind_vmxnet3(self._settings.root)
        await nic.configure(network.address, network.gateway, mac, self._cards)
        servers = "".join(f"nameserver {server}\n" for server in network.nameservers)
        files.write(self._settings.etc / "resolv.conf", servers, 0o644)

    def loopback(self) -> None:
        """Up, for the kubelet to reach us. Raises OSError."""
        nic.loopback()

    def disconnect(self) -> None:
        """Nothing of it left. Raises OSError."""
        nic.release(self._cards)
        files.write(self._settings.etc / "resolv.conf", "", 0o644)

    async def pull(self, image: str, environment: Mapping[str, str]) -> None:
        """The image in containerd, for the kubelet to use. Raises ProgramFailed."""
        await self._containerd()  # at a boot it starts when we do
        await images.pull(self._settings, image, environment)

    async def holds(self, names: Collection[str]) -> bool:
        """Whether all these images are there. Raises ProgramFailed."""
        await self._containerd()
        return set(names) <= {name for image in await self.images() for name in image.names}

    async def images(self) -> list[Image]:
        """Those that the kubelet sees. Raises ProgramFailed."""
        return await images.listed(self._settings)

    async def runtime(self) -> str:
        """containerd and its version. Raises ProgramFailed."""
        return await images.version(self._settings)

    def release(self) -> str:
        """The running kernel's."""
        return os.uname().release

    def distribution(self) -> str:
        """Its name for people."""
        for line in (files.read(self._settings.etc / "os-release") or "").splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip("\"'")
        return ""

    def _at(self, path: str) -> Path:
        return self._settings.root / path.lstrip("/")
