"""Says what is up and how to go on with it."""

from e2e.lab import process, progress
from e2e.lab.paths import Paths
from e2e.lab.state import State


def show(paths: Paths) -> None:
    """The running parts, and the commands a newcomer needs."""
    state = State.load(paths)
    if not state.processes:
        progress.say("Nothing is up. `make up` changes that.")
        return
    for name, found in state.processes.items():
        running = f"running (process {found.pid})" if process.alive(found) else "NOT running"
        progress.say(f"  {name:24} {running:28} {found.log}")
    progress.say(how_to_go_on(paths))


def how_to_go_on(paths: Paths) -> str:
    """What to type next."""
    run = paths.run
    lines = [
        "",
        "Go on with kubectl:",
        f"  export KUBECONFIG={paths.kubeconfig} PATH={paths.bin}:$PATH",
        "  kubectl get nodes,pods -A -o wide",
    ]
    if paths.govc_env.exists():
        lines += [
            "and with govc, on the vCenter side of the same Pods:",
            f"  . {paths.govc_env}",
            "  govc find / -type m",
        ]
    lines += [f"Logs of every part: {run / 'logs'}", "The end: make down"]
    return "\n".join(lines)
