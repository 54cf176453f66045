"""A containerd root folder with images already imported and unpacked, so that no guest has to.

The machine's own containerd program is run for it, on a root, state and socket of its own: another containerd of the
machine is not disturbed.
"""

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

NAMESPACE = "k8s.io"
_STARTS_WITHIN = 60.0
_ASK_EVERY = 0.05
_KEPT = ("io.containerd.content", "io.containerd.metadata", "io.containerd.snapshotter.v1.overlayfs")


class PopulateFailed(Exception):
    """containerd did not start or did not take an image; the message has what it said."""


def populate(root: Path, archives: Iterable[Path]) -> None:
    """Make `root` (/var/lib/containerd of a guest) hold the images. Raises PopulateFailed."""
    root.mkdir(parents=True)
    with _running(root) as socket:
        for archive in archives:
            _ctr(socket, "images", "import", "--all-platforms", str(archive))
    for leftover in root.iterdir():
        # Folders that plugins make at their start; the guest's containerd makes those that it wants.
        if leftover.is_dir() and not leftover.name.startswith(_KEPT):
            shutil.rmtree(leftover)


@contextlib.contextmanager
def _running(root: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vch-images-") as folder:
        state, log = Path(folder), Path(folder) / "containerd.log"
        socket = state / "containerd.sock"
        config = state / "config.toml"
        config.write_text(
            f"version = 2\nroot = {json.dumps(str(root))}\nstate = {json.dumps(str(state / 'state'))}\n"
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f"[grpc]\naddress = {json.dumps(str(socket))}\n"
            f"[ttrpc]\naddress = {json.dumps(str(socket) + '.ttrpc')}\n"
        )
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["containerd", "--config", str(config)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            _wait_for(process, socket, log)
            yield socket
        finally:
            process.terminate()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while not socket.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise PopulateFailed(f"containerd does not run:\n{log.read_text()[-2000:]}")
        time.sleep(_ASK_EVERY)


def _ctr(socket: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["ctr", "--address", str(socket), "--namespace", NAMESPACE, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise PopulateFailed(f"ctr {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
