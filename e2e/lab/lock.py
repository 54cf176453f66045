"""Writes `requirements.lock` from `pyproject.toml`: `make lock`, with pip-tools installed.

Versions and hashes only: which registry or mirror they come from is the business of whoever installs.
"""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> int:
    """Runs pip-compile over the dependencies of the project and of its development group."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    argv = [
        *(sys.executable, "-m", "piptools", "compile", "--quiet", "--generate-hashes", "--allow-unsafe"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-header", "--no-annotate"),
        *("--strip-extras", "--output-file", str(CHECKOUT / "requirements.lock"), "-"),
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PIP_FIND_LINKS"}
    return subprocess.run(argv, input="\n".join(wanted), text=True, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
