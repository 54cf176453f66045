"""The whole laboratory: brings it up part by part, and takes it down. What runs already is left as it is."""

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.lab import build, cluster, leftovers, netns, packages, ports, progress, venv
from e2e.lab.cluster import Cluster
from e2e.lab.cluster_dns import ClusterDNS
from e2e.lab.errors import LabError
from e2e.lab.kube_proxy import KubeProxy
from e2e.lab.paths import Paths
from e2e.lab.simulator import Simulator
from e2e.lab.state import State, folders
from e2e.lab.vch_operator import HOSTS, POD_IPS, Operator


@dataclass(frozen=True, slots=True)
class Laboratory:
    """A laboratory that is up; parts that were not asked for are None."""

    paths: Paths
    state: State
    cluster: Cluster
    simulator: Simulator | None = None
    operator: Operator | None = None


def up(paths: Paths, *, guests: Sequence[str] = ("qemu",), vcenter: bool = True, operator: bool = True) -> Laboratory:
    """Everything, with a VirtualContainerHost for each kind of guest that is named."""
    packages.ensure()
    folders(paths)
    with _alone(paths):
        state = _fresh_or_running(paths)
        kubernetes = build.kubernetes(paths)
        build.helm(paths)
        _link(paths.bin / "kubectl", kubernetes / "kubectl")
        programs = build.simulator(paths) if vcenter else None
        images = build.images(paths, guests, kubernetes, programs) if programs else {}
        python = venv.ensure(paths) if operator else None
        if operator:
            build.metrics_server(paths)  # tests that start it have no way to its source from where they are
        cluster.decide(state)
        coredns = build.coredns(paths) if operator and state.facts["cluster"] == "local" else None
        _network(paths, state)
        kube = cluster.provided(paths, state, kubernetes)
        kube.up()
        if state.facts["cluster"] == "local":
            KubeProxy(paths, state, kubernetes / "kube-proxy").start()
        if programs is None:
            return Laboratory(paths, state, kube)
        _link(paths.bin / "govc", build.govc(paths))
        simulator = Simulator(paths, state, programs / "vch-simulator", images)
        simulator.up()
        _registry(paths, state)
        if python is None:
            return Laboratory(paths, state, kube, simulator)
        running = Operator(paths, state, python)
        running.prepare()
        running.start(kube)
        dns = ClusterDNS(paths, state, coredns) if coredns else None
        if dns:
            dns.start()  # beside the rest, which takes longer
        for guest in guests:
            running.apply_host(HOSTS[guest], simulator)
        for guest in guests:
            running.wait_ready(HOSTS[guest])
        if dns:
            dns.wait_ready()
        return Laboratory(paths, state, kube, simulator, running)


def down(paths: Paths, *, keep_logs: bool = False) -> None:
    """Ends everything of this checkout. Nothing is left but the cache, and the logs if they are asked for."""
    if not paths.run.exists() and not paths.state.exists() and not netns.exists(paths.namespace):
        progress.say("Nothing is up.")
        return
    folders(paths)
    with _alone(paths), progress.step("Stopping"):
        _end(paths, State.load(paths))
        if keep_logs:
            _remove_all_but(paths.logs)
        else:
            shutil.rmtree(paths.run)
        paths.state.with_suffix(".lock").unlink()
    with contextlib.suppress(OSError):  # another checkout's is still there
        paths.state.parent.rmdir()
    if keep_logs:
        progress.say(f"The logs are kept in {paths.logs}.")


def _fresh_or_running(paths: Paths) -> State:
    """What is remembered, unless nothing of it runs any more: then what it left is removed first."""
    state = State.load(paths)
    if state.processes and not any(state.running(name) for name in state.processes):
        progress.say("What was up has ended without `make down` (a reboot?). Removing what it left.")
        _end(paths, state)
        shutil.rmtree(paths.run)
        folders(paths)
        return State(paths)
    return state


def _end(paths: Paths, state: State) -> None:
    """Ends all processes and removes the state folder."""
    # The operator first, so that it sees nothing break; the simulator ends its guests itself.
    for name in ("operator", "simulator"):
        if not state.stop(name, timeout=60):
            progress.say(f"{name} did not end when asked to and was killed")
    if state.facts.get("cluster") == "kind":
        cluster.provided(paths, state, Path()).down()
    for name in reversed(list(state.processes)):
        state.stop(name, timeout=15)
    leftovers.sweep(paths)
    shutil.rmtree(paths.state)


def _remove_all_but(logs: Path) -> None:
    for entry in logs.parent.iterdir():
        if entry.is_dir() and not entry.is_symlink() and entry != logs:
            shutil.rmtree(entry)
        elif entry != logs:
            entry.unlink()


def _network(paths: Paths, state: State) -> None:
    """The namespace, and the ports of the machine that lead into it."""
    if "apiserver_port" not in state.facts:
        apiserver, vcenter = ports.free(2)
        state.remember(apiserver_port=apiserver, vcenter_port=vcenter)
    both = [state.facts["apiserver_port"], state.facts["vcenter_port"]]
    addresses = [*(host.address for host in HOSTS.values()), *POD_IPS.values()]
    netns.create(paths.namespace, addresses, reserved_ports=both)
    ready = paths.state / "forward.ready"
    if not state.running("forward"):
        ready.unlink(missing_ok=True)
    offered = both if state.facts["cluster"] != "kind" else both[1:]
    argv = [sys.executable, "-m", "e2e.lab.forward", "--into", paths.namespace, "--ready", str(ready)]
    state.start("forward", [*argv, *map(str, offered)], env=venv.environment(paths), ready=ready.exists)


def _registry(paths: Paths, state: State) -> None:
    """The guests' registry, on their bridge: nobody else reaches it."""
    argv = [sys.executable, "-m", "e2e.lab.registry", "--listen", netns.REGISTRY, *map(str, build.served_images(paths))]
    log = paths.logs / "registry.log"
    if not state.running("registry"):
        log.unlink(missing_ok=True)
    state.start(
        "registry",
        argv,
        namespace=paths.namespace,
        env=venv.environment(paths),
        ready=lambda: log.exists() and " serves " in log.read_text(),
    )


@contextlib.contextmanager
def _alone(paths: Paths) -> Iterator[None]:
    """One at a time brings this laboratory up or down."""
    place = paths.state.with_suffix(".lock")
    descriptor = os.open(place, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("another process is bringing this laboratory up or down. Remedy: wait for it") from None
        yield
    finally:
        os.close(descriptor)


def _link(place: Path, target: Path) -> None:
    place.unlink(missing_ok=True)
    place.symlink_to(target)
