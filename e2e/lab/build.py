"""What is built from source, each through the cache: Kubernetes, govc, the simulator and the guest images.

The first build of Kubernetes takes about a quarter of an hour on two cores; everything after that seconds.
"""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from e2e.lab import cache, progress
from e2e.lab.errors import LabError, tail
from e2e.lab.paths import Paths

KUBERNETES = "v1.37.2"
_VERSION = "k8s.io/component-base/version"
# The version is stamped in as upstream's release builds do: kubectl, the API server and the Node's nodeInfo show it.
_STAMPS = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": "37", "gitTreeState": "clean"}
_LDFLAGS = " ".join(["-s -w", *(f"-X {_VERSION}.{name}={value}" for name, value in _STAMPS.items())])


def kubernetes(paths: Paths) -> Path:
    """Folder with `controlplane`, `kubelet` and `kubectl`."""
    source = paths.checkout / "e2e" / "controlplane"

    def make(folder: Path) -> None:
        # The kubelet first: guest images wait for it. Each on its own, so that the person waiting sees where it is.
        for program in ("kubelet", "kubectl", "controlplane"):
            with progress.step(f"Building {program} {KUBERNETES} (minutes, the first time)"):
                _go(
                    ["build", "-trimpath", "-ldflags", _LDFLAGS, "-o", str(folder / program), f"./cmd/{program}"],
                    source,
                    log=folder.parent / f"{folder.name}.log",
                    env={"CGO_ENABLED": "0"},
                )
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)

    return cache.entry(paths.cache, cache.key(f"kubernetes-{KUBERNETES}", source, _LDFLAGS, go_version()), make)


def go_version() -> str:
    """What `go version` prints; a compiler is an input as the source is."""
    return run(["go", "version"]).strip()


def run(argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    """The output of a program that has to succeed."""
    done = subprocess.run(argv, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def logged(argv: Sequence[str], *, log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """A long-running program that has to succeed, its output in `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)} failed (exit code {done.returncode}), see {log}:\n{tail(log)}")


def _go(arguments: Sequence[str], module: Path, *, log: Path, env: Mapping[str, str]) -> None:
    logged(["go", *arguments], log=log, cwd=module, env=env)
