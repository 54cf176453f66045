"""The operator's image: the Dockerfile built by buildah, upon a base made here of Debian packages, and run by runc.

No registry is asked for the base, so that a test needs none; the Dockerfile's own default is Photon. A container runs
as the chart has it: an unprivileged user, no capability, a root file system that is read only but for /tmp.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.lab import build, cache, debian, netns, packages, progress
from e2e.lab.errors import LabError
from e2e.lab.packages import Need
from e2e.lab.paths import Paths

_NEEDS = (Need("buildah", "buildah", "the operator's image"),)
_BASE_PACKAGES = ("ca-certificates", "python3", "python3-venv")
_AUTHORITIES = "/etc/ssl/certs"
"""Of the machine: a build goes to the package registry by the same way, which may be a proxy with its own authority."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image, unpacked."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "rootfs"

    @property
    def config(self) -> dict[str, Any]:
        """The `config` member of the OCI image's configuration."""
        return dict(json.loads((self.folder / "config.json").read_text()))


def made(paths: Paths) -> Image:
    """Built if it is not in the cache. Raises LabError."""
    packages.ensure(_NEEDS)
    checkout = paths.checkout
    inputs = [checkout / name for name in ("Dockerfile", ".dockerignore", "requirements-operator.lock", "provider")]
    base = _base(paths)

    def make(folder: Path) -> None:
        log = folder / "build.log"
        with progress.step("Building the operator's image"):
            _Builder(paths.cache / "buildah", log).build(checkout, base, folder)

    return Image(cache.entry(paths.cache, cache.key("operator-image", *inputs, base.name), make))


def bundle(image: Image, folder: Path, *, namespace: str, env: Mapping[str, str], files: Sequence[Path]) -> list[str]:
    """The command line of a container in that network namespace; `files` are found at the same path in it.

    `folder` is made, and the container's name is the folder's.
    """
    folder.mkdir(parents=True)
    own = image.config
    user, group = (int(number) for number in own["User"].split(":"))
    for file in files:
        os.chown(file, user, group)
    spec = json.loads(build.run(["runc", "spec", "--bundle", str(folder)]) or (folder / "config.json").read_text())
    spec["root"] = {"path": str(image.root), "readonly": True}
    spec["process"] |= {
        "terminal": False,
        "user": {"uid": user, "gid": group},
        "args": own["Entrypoint"],
        "env": [*own["Env"], *(f"{name}={value}" for name, value in env.items())],
        "cwd": own["WorkingDir"],
        "capabilities": {},
        "noNewPrivileges": True,
    }
    spec["mounts"].append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]})
    spec["mounts"] += [
        {"destination": str(file), "type": "bind", "source": str(file), "options": ["rbind", "ro"]} for file in files
    ]
    for each in spec["linux"]["namespaces"]:
        if each["type"] == "network":
            each["path"] = str(netns.path(namespace))
    (folder / "config.json").write_text(json.dumps(spec))
    return ["runc", "run", "--bundle", str(folder), folder.name]


def _base(paths: Paths) -> Path:
    """A tar of a Debian with Python: its folder is named after what is in it."""

    def make(folder: Path) -> None:
        with progress.step("The base of the operator's image"):
            build.run(
                [
                    *("mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(_BASE_PACKAGES)}"),
                    *("--aptopt=Apt::Install-Recommends false", "--aptopt=APT::Sandbox::User root"),
                    *(debian.SUITE, str(folder / "rootfs.tar"), *debian.sources()),
                ]
            )

    key = cache.key("operator-base", *debian.origin(), *_BASE_PACKAGES)
    return cache.entry(paths.cache, key, make)


class _Builder:
    """buildah with a store of its own, where layers are kept from one build to the next."""

    def __init__(self, store: Path, log: Path) -> None:
        self._store = store
        self._log = log
        self._env = {"BUILDAH_ISOLATION": "chroot"}

    def build(self, checkout: Path, base: Path, folder: Path) -> None:
        self._store.mkdir(parents=True, exist_ok=True)
        with cache.locked(self._store / "lock", waiting_for="an image"):
            name = f"localhost/{base.name}"
            if name not in self._output("images", "--format", "{{.Name}}").split():
                started = self._output("from", "scratch").strip()
                self._run("add", "--quiet", started, str(base / "rootfs.tar"), "/")
                self._run("commit", "--quiet", "--rm", started, name)
            self._run(
                *("build", "--layers", "--pull-never", "--network", "host"),
                *("--volume", f"{_AUTHORITIES}:{_AUTHORITIES}:ro"),
                *("--build-arg", f"BASE={name}", "--tag", "localhost/virtual-kubelet-vch", str(checkout)),
            )
            self._unpack("localhost/virtual-kubelet-vch", folder)

    def _unpack(self, image: str, folder: Path) -> None:
        inspected = json.loads(self._output("inspect", "--type", "image", image))
        (folder / "config.json").write_text(json.dumps(inspected["OCIv1"]["config"], indent=1))
        container = self._output("from", "--pull-never", image).strip()
        mounted = self._output("mount", container).strip()
        try:
            build.run(["cp", "--archive", mounted, str(folder / "rootfs")])
        finally:
            self._run("umount", container)
            self._run("rm", container)

    def _output(self, *arguments: str) -> str:
        return build.run(self._argv(arguments), env=self._env)

    def _run(self, *arguments: str) -> None:
        build.logged(self._argv(arguments), log=self._log, env=self._env)

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        return ["buildah", "--root", str(self._store / "store"), "--runroot", str(self._store / "run"), *arguments]


def remove(name: str) -> None:
    """A container that has ended leaves its state behind if it was killed. Idempotent."""
    done = subprocess.run(["runc", "delete", "--force", name], capture_output=True, text=True, check=False)
    if done.returncode != 0 and "does not exist" not in done.stderr:
        raise LabError(f"runc delete {name}: {done.stderr.strip()}")
