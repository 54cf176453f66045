"""The Python environment that the operator, the linters and the tests run in: exactly what `requirements.lock` says.

It lies in the cache, named by the lock's content and the interpreter, and is shared by all checkouts with the same
lock. The project itself is not installed into it; it is found through PYTHONPATH.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from e2e.lab import build, cache, packages, progress
from e2e.lab.errors import LabError
from e2e.lab.paths import Paths


def ensure(paths: Paths) -> Path:
    """The interpreter of the environment."""
    if sys.version_info < (3, 11):  # noqa: UP036  (the system's, not the environment's)
        raise LabError(
            f"Python 3.11 or later is needed, this is {sys.version.split()[0]}. Remedy: make PYTHON=python3.12"
        )
    lock = paths.checkout / "requirements.lock"

    def make(folder: Path) -> None:
        log = folder.with_name(f"{folder.name}.log")
        with progress.step("Installing the Python packages of requirements.lock"):
            _create(folder, log)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
            build.logged([*pip, "--require-hashes", "-r", str(lock)], log=log)
        log.unlink(missing_ok=True)

    # Scripts in an environment name its path: it is made under its last name, so the marker says whether it is whole.
    place = paths.cache / cache.key("venv", lock, sys.version, str(paths.cache))
    cache.entry_in_place(place, make)
    return place / "bin" / "python"


def environment(paths: Paths) -> dict[str, str]:
    """What a program of the project needs in its environment to find the project."""
    return {"PYTHONPATH": str(paths.checkout), "PYTHONDONTWRITEBYTECODE": "1"}


def _create(folder: Path, log: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False)
    if made.returncode != 0 and "ensurepip" in made.stdout + made.stderr:
        # Debian splits ensurepip off, into a package that carries the interpreter's version in its name.
        packages.install([f"python{sys.version_info.major}.{sys.version_info.minor}-venv"])
        shutil.rmtree(folder, ignore_errors=True)
        build.logged([sys.executable, "-m", "venv", str(folder)], log=log, env={**os.environ})
    elif made.returncode != 0:
        raise LabError(f"python3 -m venv: {made.stderr.strip() or made.stdout.strip()}")
