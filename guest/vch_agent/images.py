"""containerd's images: pulled before the freeze, and listed, by `ctr` in the namespace that the kubelet's CRI uses.

containerd's CRI plugin hears of every new image and labels it; only then does the kubelet see it, and only then is it
pulled for us. Sizes are those that the kubelet would say: of the manifest and all that it names, as stored.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path

from . import process
from .parent import Image
from .settings import Settings

_MANAGED = "io.cri-containerd.image=managed"
_BLOBS = Path("var/lib/containerd/io.containerd.content.v1.content/blobs/sha256")
_HOSTS = Path("etc/containerd/certs.d")
_NOTICED_WITHIN = 30.0
_LOOK_EVERY = 0.2
_PULL_WITHIN = 1800.0
_ATTEMPTS = 3
_PAUSE = 2.0
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"([0-9.]+) ([KMGT]iB|B)")


async def pull(settings: Settings, reference: str, environment: Mapping[str, str]) -> None:
    """Have the image in containerd, unpacked and known to the kubelet. Idempotent. Raises ProgramFailed."""
    if reference in {name for name, _, _ in await _listed(settings)}:
        return
    command = [*_ctr(settings), "images", "pull", "--hosts-dir", str(settings.root / _HOSTS), reference]
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            await process.check(command, _PULL_WITHIN, environment=environment)
            break
        except process.ProgramFailed:
            if attempt == _ATTEMPTS:
                raise
            await asyncio.sleep(_PAUSE * attempt)
    try:
        async with asyncio.timeout(_NOTICED_WITHIN):
            while reference not in {name for name, _, _ in await _listed(settings)}:  # noqa: ASYNC110 - ctr has no events of one image
                await asyncio.sleep(_LOOK_EVERY)
    except TimeoutError:
        raise process.ProgramFailed(
            f"the kubelet's view of images does not have it after {_NOTICED_WITHIN:.0f} s"
        ) from None


async def listed(settings: Settings) -> list[Image]:
    """The images that the kubelet sees, each with all its names. Raises ProgramFailed."""
    names: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for name, digest, size in await _listed(settings):
        if not name.startswith("sha256:"):
            names.setdefault(digest, []).append(name)
            sizes[digest] = _stored_size(settings.root / _BLOBS, digest) or size
    return [Image(tuple(sorted(names[digest])), sizes[digest]) for digest in sorted(names, key=lambda key: names[key])]


async def version(settings: Settings) -> str:
    """containerd's, as the kubelet says it. Raises ProgramFailed."""
    said = await process.check([*_ctr(settings), "version"])
    server = said.partition("Server:")[2]
    found = re.search(r"Version:\s+(\S+)", server)
    return f"containerd://{found[1]}" if found else ""


def parse(table: str) -> list[tuple[str, str, int]]:
    """Name, digest and size of each image that the CRI plugin knows, of `ctr images list`. Pure."""
    found = []
    for line in table.splitlines()[1:]:
        columns = line.split()
        size = _SIZE.search(line)
        if len(columns) > 3 and columns[2].startswith("sha256:") and _MANAGED in columns[-1]:
            found.append((columns[0], columns[2], int(float(size[1]) * _UNITS[size[2]]) if size else 0))
    return found


async def _listed(settings: Settings) -> list[tuple[str, str, int]]:
    return parse(await process.check([*_ctr(settings), "images", "list"]))


def _ctr(settings: Settings) -> list[str]:
    return [settings.ctr, "--address", settings.containerd_socket, "--namespace", "k8s.io"]


def _stored_size(blobs: Path, digest: str) -> int:
    """From the manifest itself, since ctr rounds; 0 where there is none to be read (an index of several platforms)."""
    try:
        text = (blobs / digest.removeprefix("sha256:")).read_text()
        manifest = json.loads(text)
        return len(text.encode()) + sum(int(part["size"]) for part in (manifest["config"], *manifest["layers"]))
    except (OSError, ValueError, KeyError, TypeError):
        return 0
