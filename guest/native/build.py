"""What the simulator's native guests bring along.

`guest/native/build.py --cache DIR --kubelet PATH --kube-proxy PATH --rpctool PATH`. The rest they share with the
machine that they run on: its containerd, runc, nft, Python. Makes DIR/native-<hash>/ with kubelet, kube-proxy,
vmware-rpctool, the agent, the containerd configuration and a containerd root with the test images, and prints the
folder as its last line. Which file goes where in a guest is said in e2e/simulator/native.
"""

import argparse
import shutil
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_CHECKOUT), str(_CHECKOUT / "guest")]

from images import build as images  # noqa: E402
from images import containerd  # noqa: E402

from e2e.lab import cache  # noqa: E402

_GUEST = _CHECKOUT / "guest"


def make(root: Path, kubelet: Path, kube_proxy: Path, rpctool: Path) -> Path:
    """The image's folder, made if it is not in the cache. Raises PopulateFailed, OSError."""
    preloaded = images.make(root)
    parts = {
        "kubelet": kubelet,
        "kube-proxy": kube_proxy,
        "vmware-rpctool": rpctool,
        "agent/vch_agent": _GUEST / "vch_agent",
        "containerd.toml": _GUEST / "containerd/config-native.toml",
        "10-vch.conflist": _GUEST / "containerd/10-vch.conflist",
    }

    def build(folder: Path) -> None:
        for name, source in {**parts, "containerd": preloaded / "containerd"}.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, place, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, place)

    inputs = [preloaded.name, Path(__file__), *(item for part in parts.items() for item in part)]
    return cache.entry(root, cache.key("native", *inputs), build)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps what was built")
    parser.add_argument("--kubelet", type=Path, required=True, help="the kubelet's program")
    parser.add_argument("--kube-proxy", type=Path, required=True, help="kube-proxy's program")
    parser.add_argument("--rpctool", type=Path, required=True, help="the guest's vmware-rpctool")
    arguments = parser.parse_args()
    try:
        programs = (arguments.kubelet, arguments.kube_proxy, arguments.rpctool)
        print(make(arguments.cache.resolve(), *(program.resolve() for program in programs)))
    except (containerd.PopulateFailed, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
