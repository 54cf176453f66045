"""What is built from source, each through the cache: Kubernetes, CoreDNS, metrics-server, Helm, govc, the simulator,
the guest images.

The first build of Kubernetes takes about a quarter of an hour on two cores; everything after that seconds.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from e2e.lab import cache, progress
from e2e.lab.errors import LabError, tail
from e2e.lab.paths import Paths

KUBERNETES = "v1.37.2"
_GOVMOMI = "v0.56.0"
_IMAGE_BUILDERS = {"qemu": "debian/build.py", "native": "native/build.py"}
_VERSION = "k8s.io/component-base/version"
# The version is stamped in as upstream's release builds do: kubectl, the API server and the Node's nodeInfo show it.
_STAMPS = {"gitVersion": KUBERNETES, "gitMajor": "1", "gitMinor": "37", "gitTreeState": "clean"}
_LDFLAGS = " ".join(["-s -w", *(f"-X {_VERSION}.{name}={value}" for name, value in _STAMPS.items())])


def kubernetes(paths: Paths) -> Path:
    """Folder with `controlplane`, `kubelet`, `kube-proxy` and `kubectl`."""
    source = paths.checkout / "e2e" / "controlplane"

    def make(folder: Path) -> None:
        # What guest images wait for is first. Each on its own, so that the person waiting sees where it is.
        for program in ("kubelet", "kube-proxy", "kubectl", "controlplane"):
            with progress.step(f"Building {program} {KUBERNETES} (minutes, the first time)"):
                _go(
                    ["build", "-trimpath", "-ldflags", _LDFLAGS, "-o", str(folder / program), f"./cmd/{program}"],
                    source,
                    log=folder.parent / f"{folder.name}.log",
                    env={"CGO_ENABLED": "0"},
                )
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)

    return cache.entry(paths.cache, cache.key(f"kubernetes-{KUBERNETES}", source, _LDFLAGS, go_version()), make)


def coredns(paths: Paths) -> Path:
    """The cluster's DNS server."""
    return _program(paths, "dns", "coredns", "./cmd/coredns", "-s -w")


def metrics_server(paths: Paths) -> Path:
    """What `kubectl top` and the HorizontalPodAutoscaler ask."""
    return _program(paths, "metricsserver", "metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server", "-s -w")


def govc(paths: Paths) -> Path:
    """govmomi's command line."""
    flags = f"-s -w -X github.com/vmware/govmomi/cli/flags.BuildVersion={_GOVMOMI}"
    return _program(paths, "tools", "govc", "./govc", flags)


def kind(paths: Paths) -> Path:
    """Kubernetes in Docker."""
    return _program(paths, "tools", "kind", "sigs.k8s.io/kind", "-s -w")


def helm(paths: Paths, major: int = 3) -> Path:
    """Helm 3 or 4. Where there is no cluster to ask, it takes this one's version for granted: 4 finds it by itself."""
    stamps = {"k8sVersionMajor": _STAMPS["gitMajor"], "k8sVersionMinor": _STAMPS["gitMinor"]}
    packages = ("chartutil", "lint/rules") if major == 3 else ()
    said = [f"helm.sh/helm/v3/pkg/{package}.{name}={value}" for package in packages for name, value in stamps.items()]
    flags = " ".join(["-s -w", *(f"-X {each}" for each in said)])
    return _program(paths, "helm", f"helm{major}", f"helm.sh/helm/v{major}/cmd/helm", flags)


def simulator(paths: Paths) -> Path:
    """Folder with `vch-simulator` and `vmware-rpctool`."""
    source = paths.checkout / "e2e" / "simulator"

    def make(folder: Path) -> None:
        log = folder.parent / f"{folder.name}.log"
        with progress.step("Building the vCenter simulator"):
            logged([str(source / "build.sh"), str(folder)], log=log, cwd=source)
        log.unlink(missing_ok=True)

    return cache.entry(paths.cache, cache.key("simulator", source, go_version()), make)


def images(paths: Paths, guests: Iterable[str], kubernetes: Path, simulator: Path) -> dict[str, Path]:
    """The image of each kind of guest, made by its own builder, which keeps it in the cache itself."""
    return {guest: _image(paths, guest, kubernetes, simulator) for guest in guests}


def served_images(paths: Paths) -> list[Path]:
    """Archives of the images that no guest image has."""
    builder = paths.checkout / "guest" / "images" / "build.py"
    argv = [sys.executable, str(builder), "--cache", str(paths.cache), "--served"]
    folder = run(argv, env={"PYTHONPATH": str(paths.checkout)}).splitlines()[-1]
    return sorted(Path(folder).glob("*.tar"))


def _image(paths: Paths, guest: str, kubernetes: Path, simulator: Path) -> Path:
    builder = paths.checkout / "guest" / _IMAGE_BUILDERS[guest]
    log = paths.logs / f"image-{guest}.log"
    with progress.step(f"Guest image for {guest} guests", quiet_under=1):
        logged(
            [
                *(sys.executable, str(builder), "--cache", str(paths.cache)),
                *("--kubelet", str(kubernetes / "kubelet"), "--kube-proxy", str(kubernetes / "kube-proxy")),
                *("--rpctool", str(simulator / "vmware-rpctool")),
            ],
            log=log,
            env={"PYTHONPATH": str(paths.checkout)},
        )
    return Path(log.read_text().splitlines()[-1])


def _program(paths: Paths, module: str, name: str, package: str, flags: str) -> Path:
    source = paths.checkout / "e2e" / module

    def make(folder: Path) -> None:
        arguments = ["build", "-trimpath", "-ldflags", flags, "-o", str(folder / name), package]
        with progress.step(f"Building {name}"):
            _go(arguments, source, log=folder.parent / f"{folder.name}.log", env={"CGO_ENABLED": "0"})
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)

    return cache.entry(paths.cache, cache.key(name, source, flags, go_version()), make) / name


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
