"""The linters and the tests, as `make lint` and `make test` run them.

Linters come first, since they are over in seconds. All tests, Go's included (`e2e/tests/test_go_modules.py`), are one
run of pytest, so that there is one closing line.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.lab import build, packages, progress, venv
from e2e.lab.paths import Paths
from e2e.lab.state import State

_WORKERS = 2
"""Each has a laboratory, which takes 4 GiB and a processor while it starts; most of what they do afterwards is wait."""

_CHART = "charts/virtual-kubelet-vch"


def lint(paths: Paths) -> int:
    """Runs every linter, and says which ones have something to say."""
    packages.ensure()
    bin_folder = venv.ensure(paths).parent
    linters = [
        *_linters(paths.checkout, bin_folder),
        ("helm lint", [str(build.helm(paths)), "lint", "--strict", _CHART]),
    ]
    failed = [name for name, argv in linters if not _passes(name, argv, paths)]
    if failed:
        progress.say(f"lint: {', '.join(failed)} found something")
    return 1 if failed else 0


def test(paths: Paths, arguments: Sequence[str]) -> int:
    """Linters, then pytest; `arguments` go to pytest and replace the choice of what to test if they name files."""
    failed = lint(paths)
    if failed:
        return failed
    python = venv.ensure(paths)
    named = any(not argument.startswith("-") and Path(argument.partition("::")[0]).exists() for argument in arguments)
    usual = [] if named else ["tests", "e2e/tests", *_side_by_side(paths, arguments)]
    argv = [str(python), "-m", "pytest", *usual, *arguments]
    return subprocess.run(argv, cwd=paths.checkout, env=_environment(paths), check=False).returncode


def _side_by_side(paths: Paths, arguments: Sequence[str]) -> list[str]:
    """Nothing where a laboratory is up, since that one is to be used; what the caller says of `-n` comes later."""
    state = State.load(paths)
    if any(state.running(name) for name in state.processes) or "-k" in arguments:
        return []
    return ["--numprocesses", str(_WORKERS), "--dist", "loadfile"]


def _linters(checkout: Path, bin_folder: Path) -> list[tuple[str, list[str]]]:
    shell = [str(path) for path in _shell_scripts(checkout)]
    linters = [
        ("ruff check", [str(bin_folder / "ruff"), "check", "--quiet", "."]),
        ("ruff format", [str(bin_folder / "ruff"), "format", "--quiet", "--check", "."]),
        ("mypy", [str(bin_folder / "mypy")]),
        ("import-linter", [str(bin_folder / "lint-imports")]),
        ("gofmt", ["sh", "-c", 'found=$(gofmt -l e2e) && [ -z "$found" ] || { echo "$found"; exit 1; }']),
    ]
    if shutil.which("shellcheck"):
        linters.append(("shellcheck", ["shellcheck", *shell]))
    else:
        progress.say("shellcheck is not installed: shell scripts are only parsed (bash -n)")
        linters.append(("bash -n", ["bash", "-c", 'for script; do bash -n "$script" || exit 1; done', "bash", *shell]))
    return linters


def _shell_scripts(checkout: Path) -> list[Path]:
    """Tracked files that begin as a shell script does, or are called .sh."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=False).stdout
    files = [checkout / name for name in listed.split("\0") if name]
    return [path for path in files if path.is_file() and (path.suffix == ".sh" or _shebang(path))]


def _shebang(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.read(64).split(b"\n")[0]
    return first.startswith(b"#!") and first.rstrip().endswith((b"/sh", b"/bash", b" bash", b" sh"))


def _passes(name: str, argv: list[str], paths: Paths) -> bool:
    done = subprocess.run(
        argv, cwd=paths.checkout, env=_environment(paths), capture_output=True, text=True, check=False
    )
    progress.say(f"{'✓' if done.returncode == 0 else '✗'} {name}")
    if done.returncode != 0:
        progress.say((done.stdout + done.stderr).rstrip())
    return done.returncode == 0


def _environment(paths: Paths) -> dict[str, str]:
    return {**os.environ, **venv.environment(paths)}
