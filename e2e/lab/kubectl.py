"""kubectl as the admin, for what the laboratory itself needs of the cluster."""

import json
import subprocess
from collections.abc import Mapping

from e2e.lab.errors import LabError
from e2e.lab.paths import Paths


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
