"""kubectl as the admin, for what the laboratory itself needs of the cluster."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from e2e.lab.errors import LabError
from e2e.lab.paths import Paths

_TOKEN_HOURS = 24 * 365


def command(paths: Paths, *arguments: str) -> list[str]:
    """kubectl with the admin's kubeconfig."""
    return [str(paths.bin / "kubectl"), f"--kubeconfig={paths.kubeconfig}", *arguments]


def run(paths: Paths, *arguments: str, stdin: str | None = None) -> str:
    """The output of kubectl as the admin."""
    argv = command(paths, *arguments)
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def apply(paths: Paths, *objects: Mapping[str, object]) -> None:
    """`kubectl apply` of objects, as the admin."""
    run(paths, "apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def write_kubeconfig(paths: Paths, place: Path, namespace: str, account: str) -> Path:
    """The admin's cluster, and a token of a ServiceAccount."""
    token = run(paths, "create", "token", account, f"--namespace={namespace}", f"--duration={_TOKEN_HOURS}h").strip()
    config = json.loads(run(paths, "config", "view", "--raw", "--minify", "-o=json"))
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
    place.touch(mode=0o600)
    place.write_text(json.dumps(config, indent=2) + "\n")
    return place
