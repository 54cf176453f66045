"""The guest's kernel booted once more with other parameters, before the freeze.

By kexec where the kernel can do that: no firmware, no boot loader, a few seconds. Where there is a boot loader's
configuration (Photon's) it is changed as well, so that a clone that is reset keeps the parameters, and a reboot takes
the place of kexec. Whether it was done is told by /proc/cmdline alone.
"""

import ctypes
import os
import platform
import re
from pathlib import Path

_PHOTON = Path("boot/photon.cfg")
_KEXEC_FILE_LOAD = {"x86_64": 320, "aarch64": 294}  # include/uapi/asm-generic/unistd.h, arch/x86/entry/syscalls
_REBOOT_KEXEC, _REBOOT_RESTART = 0x45584543, 0x01234567  # include/uapi/linux/reboot.h


class CannotBoot(Exception):
    """The kernel cannot be started again with other parameters; the message says why."""


def missing(command_line: str, parameters: tuple[str, ...]) -> tuple[str, ...]:
    """Those that the running kernel was not started with. Pure."""
    there = set(command_line.split())
    return tuple(parameter for parameter in parameters if parameter not in there)


def command_line(root: Path) -> str:
    """What the running kernel was started with."""
    return (root / "proc/cmdline").read_text().strip()


def photon_configured(text: str, parameters: tuple[str, ...]) -> str:
    """Photon's boot configuration with the parameters; unchanged where it has them. Pure. Raises CannotBoot."""
    found = re.search(r"^photon_cmdline=(.*)$", text, re.MULTILINE)
    if found is None:
        raise CannotBoot(f"/{_PHOTON} has no photon_cmdline")
    wanted = missing(found[1], parameters)
    return text[: found.end()] + "".join(f" {parameter}" for parameter in wanted) + text[found.end() :]


def boot(root: Path, parameters: tuple[str, ...]) -> None:
    """Does not return: the machine boots. Raises CannotBoot."""
    wanted = missing(command_line(root), parameters)
    loader = root / _PHOTON
    configured = False
    try:
        if loader.exists():
            loader.write_text(photon_configured(loader.read_text(), parameters))
            configured = True
        os.sync()
        try:
            _load(root, f"{command_line(root)} {' '.join(wanted)}")
        except OSError as error:
            if not configured:
                raise CannotBoot(
                    f"kexec: {error.strerror or error}, and there is no boot loader to configure"
                ) from error
            _reboot(_REBOOT_RESTART)
        _reboot(_REBOOT_KEXEC)
    except OSError as error:
        raise CannotBoot(str(error)) from error
    raise CannotBoot("the kernel did not boot")


def _load(root: Path, arguments: str) -> None:
    """Have the kernel and its initrd ready in memory. Raises OSError."""
    number = _KEXEC_FILE_LOAD.get(platform.machine())
    if number is None:
        raise OSError(0, f"not known on {platform.machine()}")
    release = platform.release()
    image = os.open(root / f"boot/vmlinuz-{release}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        initrd = os.open(root / f"boot/initrd.img-{release}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            told = arguments.encode() + b"\0"
            libc = ctypes.CDLL(None, use_errno=True)
            # Variadic: every argument as wide as a register.
            given = [ctypes.c_long(value) for value in (number, image, initrd, len(told))]
            if libc.syscall(*given, ctypes.c_char_p(told), ctypes.c_long(0)) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        finally:
            os.close(initrd)
    finally:
        os.close(image)


def _reboot(how: int) -> None:
    """reboot(2), without telling anybody: nothing runs in a parent that could lose anything. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.reboot(ctypes.c_int(how)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
