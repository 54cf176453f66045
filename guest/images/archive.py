"""Test images made of one static busybox, as OCI image archives: no registry, no engine, the same bytes every time.

Not for production: a pod VM's real images come from registries. `containerd` loads what is made here.
"""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Image:
    """An image to make: its name and what a container of it runs."""

    name: str
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    ballast: int = 0
    """Bytes of a file that nothing compresses, so that it has layers of its own, and of a real image's size."""

    @property
    def file_name(self) -> str:
        return self.name.rpartition("/")[2].replace(":", "-") + ".tar"


PAUSE = Image(
    "vch.dev/pause:1",
    # SIGCHLD stays ignored through the exec, and so the kernel itself reaps what a shared process namespace leaves.
    entrypoint=["/bin/sh", "-c", "trap '' CHLD; exec sleep infinity"],
)
TEST = Image("vch.dev/busybox:1", command=["sh"])
IMAGES = (PAUSE, TEST)
"""Those that a guest image has."""
APP = Image("vch.dev/app:1", command=["sh"], ballast=16 << 20)
TOOL = Image("vch.dev/tool:1", command=["sh"], ballast=4 << 20)
SERVED = (APP, TOOL)
"""Those that no guest image has: a registry serves them."""


def write(image: Image, folder: Path, busybox: Path = BUSYBOX) -> Path:
    """Write the image's archive into the folder. Raises OSError, CalledProcessError."""
    place = folder / image.file_name
    layer = _layer(busybox.read_bytes(), _applets(busybox), _ballast(image))
    place.write_bytes(_archive(image, layer))
    return place


def _ballast(image: Image) -> bytes:
    """The same bytes each time."""
    return hashlib.shake_256(image.name.encode()).digest(image.ballast)


def _applets(busybox: Path) -> list[str]:
    """What this busybox can be called."""
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    return sorted(set(listed) - {"busybox"})


def _layer(busybox: bytes, applets: Iterable[str], ballast: bytes = b"") -> bytes:
    """The file system: busybox under all its names, and what programs expect besides."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder in ("bin", "dev", "etc", "home", "proc", "root", "run", "sys", "usr", "var"):
            _add(tar, folder, tarfile.DIRTYPE, 0o755)
        _add(tar, "tmp", tarfile.DIRTYPE, 0o1777)
        _add(tar, "bin/busybox", tarfile.REGTYPE, 0o755, busybox)
        for applet in applets:
            _add(tar, f"bin/{applet}", tarfile.SYMTYPE, 0o777, link="busybox")
        for name, target in (("sbin", "bin"), ("usr/bin", "../bin"), ("usr/sbin", "../bin")):
            _add(tar, name, tarfile.SYMTYPE, 0o777, link=target)
        _add(tar, "etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:\n")
        _add(tar, "etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\nnogroup:x:65534:\n")
        if ballast:
            _add(tar, "var/ballast", tarfile.REGTYPE, 0o644, ballast)
    return content.getvalue()


def _add(tar: tarfile.TarFile, name: str, kind: bytes, mode: int, content: bytes = b"", link: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size, member.linkname = kind, mode, len(content), link
    tar.addfile(member, io.BytesIO(content))


def _archive(image: Image, layer: bytes) -> bytes:
    """An OCI image layout in a tar, which containerd and everything else imports."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    layer_at = blob(layer, "application/vnd.oci.image.layer.v1.tar")
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {"Env": [_PATH], "Entrypoint": image.entrypoint, "Cmd": image.command, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [layer_at["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(_json(config), "application/vnd.oci.image.config.v1+json"),
        "layers": [layer_at],
    }
    names = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name.rpartition(":")[2]}
    index = {
        "schemaVersion": 2,
        "manifests": [{**blob(_json(manifest), "application/vnd.oci.image.manifest.v1+json"), "annotations": names}],
    }
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "oci-layout", tarfile.REGTYPE, 0o644, _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", tarfile.REGTYPE, 0o644, _json(index))
        for digest, stored in sorted(blobs.items()):
            _add(tar, f"blobs/sha256/{digest}", tarfile.REGTYPE, 0o644, stored)
    return content.getvalue()


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
