"""The Helm chart, as far as the laboratory can install it: all but what would need a node to run on.

The operator is a process here (`vch_operator`); its kinds, its account and rights, its settings are the chart's, so
that every end-to-end test runs with the rights that a user's operator has. The chart is tested in `tests/chart`.
"""

import json
from pathlib import Path

from e2e.lab import build, kubectl
from e2e.lab.paths import Paths

NAMESPACE = "vch-system"
RELEASE = "virtual-kubelet-vch"
"""The account's name as well, and that of the roles."""
_FOR_PODS = ("deployment.yaml", "poddisruptionbudget.yaml", "service-metrics.yaml", "networkpolicy.yaml")


def install_kinds(paths: Paths) -> None:
    """Returns when the API server serves the kinds."""
    _apply(paths, [text for source, text in rendered(paths) if source == "crds.yaml"])
    kubectl.run(paths, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


def install(paths: Paths) -> None:
    """Kinds, account, rights, and the rest that a process can do with."""
    kubectl.apply(paths, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    install_kinds(paths)
    _apply(paths, [text for source, text in rendered(paths) if source not in _FOR_PODS])


def settings(paths: Paths) -> dict[str, str]:
    """The variables that the chart gives the operator, but for those that only a Pod has."""
    (deployment,) = (text for source, text in rendered(paths) if source == "deployment.yaml")
    # kubectl reads the YAML: the laboratory itself has no more than Python's standard library.
    made = json.loads(kubectl.run(paths, "create", "--dry-run=client", "-o=json", "--filename=-", stdin=deployment))
    (container,) = made["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"] if "valueFrom" not in each}


def write_kubeconfig(paths: Paths, place: Path, account: str = RELEASE) -> None:
    """For one of the chart's ServiceAccounts: the operator's, or a hook's."""
    kubectl.write_kubeconfig(paths, place, NAMESPACE, account)


def rendered(paths: Paths, *flags: str) -> list[tuple[str, str]]:
    """Each object's text, with the file name of its template."""
    text = build.run(
        [
            *(str(build.helm(paths)), "template", RELEASE, str(paths.checkout / "charts" / RELEASE)),
            *(f"--namespace={NAMESPACE}", f"--kube-version={build.KUBERNETES}", "--no-hooks", *flags),
        ]
    )
    found = []
    for part in text.split("---\n"):
        first, _, rest = part.partition("\n")
        if first.startswith("# Source: "):
            found.append((first.rpartition("/")[2], rest))
    return found


def _apply(paths: Paths, texts: list[str]) -> None:
    arguments = ("apply", "--server-side", "--force-conflicts", "--filename=-")
    kubectl.run(paths, *arguments, stdin="\n---\n".join(texts))
