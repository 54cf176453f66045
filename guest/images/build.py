"""`guest/images/build.py --cache DIR [--served]`: the test images and a containerd root that holds them.

Makes DIR/images-<hash>/ with one OCI archive for each image and `containerd/`, to be copied to /var/lib/containerd of a
guest; prints the folder as its last line. Used by the guest images' builders too (`make`). With `--served` it makes
DIR/served-<hash>/ instead: the archives that no guest image has, for a registry.
"""

import argparse
import sys
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_CHECKOUT), str(_CHECKOUT / "guest")]

from images import archive, containerd  # noqa: E402

from e2e.lab import cache, progress  # noqa: E402

_HERE = Path(__file__).resolve().parent


def make(root: Path) -> Path:
    """The folder with the images, made if it is not in the cache. Raises PopulateFailed, OSError."""

    def build(folder: Path) -> None:
        with progress.step("Test images"):
            archives = [archive.write(image, folder) for image in archive.IMAGES]
            containerd.populate(folder / "containerd", archives)

    return cache.entry(root, cache.key("images", _HERE, archive.BUSYBOX), build)


def make_served(root: Path) -> Path:
    """The folder with the archives for a registry, made if it is not in the cache. Raises OSError."""

    def build(folder: Path) -> None:
        for image in archive.SERVED:
            archive.write(image, folder)

    return cache.entry(root, cache.key("served", _HERE / "archive.py", archive.BUSYBOX), build)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps what was built")
    parser.add_argument("--served", action="store_true", help="the images for a registry")
    arguments = parser.parse_args()
    root = arguments.cache.resolve()
    try:
        print(make_served(root) if arguments.served else make(root))
    except (containerd.PopulateFailed, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
