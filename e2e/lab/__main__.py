"""`python3 -m e2e.lab up|down|…`."""

import argparse
import sys

from e2e.lab import paths, up
from e2e.lab.errors import LabError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m e2e.lab", description="The laboratory of this checkout.")
    parser.add_argument("command", choices=["up", "down"])
    options = parser.parse_args()
    place = paths.here()
    try:
        if options.command == "up":
            up.up(place)
        else:
            up.down(place)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
