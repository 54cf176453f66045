"""Writes the locks from `pyproject.toml`: `make lock`, with pip-tools installed.

`requirements.lock` has all that development needs, `requirements-operator.lock` what of it the operator's image has, of
the same versions. Versions and hashes only: which registry or mirror they come from is for whoever installs to say.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
EVERYTHING = CHECKOUT / "requirements.lock"
OPERATOR = CHECKOUT / "requirements-operator.lock"


def main() -> int:
    """Runs pip-compile over the dependencies of the project, with and without its development group's."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    own = project["project"]["dependencies"]
    return _lock(EVERYTHING, [*own, *project["dependency-groups"]["dev"]]) or _lock(
        OPERATOR, [*own, f"-c {EVERYTHING}"]
    )


def _lock(place: Path, wanted: Sequence[str]) -> int:
    argv = [
        *(sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes", "--allow-unsafe"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-header", "--no-annotate"),
        *("--strip-extras", "--output-file", str(place), "-"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    return subprocess.run(argv, input="\n".join(wanted), text=True, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
