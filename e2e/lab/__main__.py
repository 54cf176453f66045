"""`python3 -m e2e.lab up|demo|test|lint|status|down|clean`: what the Makefile calls."""

import argparse
import shutil
import sys
from pathlib import Path

from e2e.lab import checks, demonstration, laboratory, paths, progress, status
from e2e.lab.errors import LabError
from e2e.lab.paths import Paths


def main() -> int:
    options, rest = _parser().parse_known_args()
    if rest and options.command != "test":
        _parser().error(f"unrecognised arguments: {' '.join(rest)}")
    place = paths.here()
    try:
        return _run(options, rest, place)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `make down` ends what was started", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, rest: list[str], place: Paths) -> int:
    match options.command:
        case "up":
            _up(options, place)
        case "demo":
            demonstration.run(laboratory.up(place))
        case "test":
            return checks.test(place, rest)
        case "lint":
            return checks.lint(place)
        case "status":
            status.show(place)
        case "down":
            _down(place)
        case "clean":
            _down(place)
            _clean(place.checkout)
    return 0


def _up(options: argparse.Namespace, place: Paths) -> None:
    laboratory.up(
        place,
        guests=options.guests.split(","),
        vcenter=not options.only_cluster,
        operator=not (options.only_cluster or options.no_operator),
    )
    status.show(place)


def _down(place: Paths) -> None:
    """Those of tests that were interrupted, too."""
    for each in reversed(place.all()):
        laboratory.down(each)


def _clean(checkout: Path) -> None:
    """Removes what tools left in the checkout; the cache outside is kept, since that is what it is for."""
    for pattern in (".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", "dist", "**/__pycache__"):
        for folder in checkout.glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)
    progress.say(f"Clean. What was built is kept in {paths.here().cache}; remove it by hand to build all of it again.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m e2e.lab", description="The laboratory of this checkout.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring everything up and leave it running")
    up.add_argument("--guests", default="qemu", help="kinds of guests, comma separated: qemu, native (default: qemu)")
    up.add_argument("--no-operator", action="store_true", help="cluster and vCenter only")
    up.add_argument("--only-cluster", action="store_true", help="the cluster only")
    for name, about in (
        ("demo", "up, then ordinary Pods in VMs of their own"),
        ("test", "linters and all tests; further arguments go to pytest"),
        ("lint", "linters only"),
        ("status", "what is up"),
        ("down", "end everything and leave nothing behind"),
        ("clean", "down, and remove what tools left in the checkout"),
    ):
        commands.add_parser(name, help=about)
    return parser


if __name__ == "__main__":
    sys.exit(main())
