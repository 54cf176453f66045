"""The chart, rendered by the real Helm 3 or 4 without a cluster."""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from e2e.lab import build, paths

CHART = Path(__file__).resolve().parents[2] / "charts" / "virtual-kubelet-vch"
NAMESPACE = "vch-system"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What Helm made of values."""

    objects: list[dict[str, Any]]

    def of(self, kind: str, ending: str = "") -> list[dict[str, Any]]:
        return [each for each in self.objects if each["kind"] == kind and each["metadata"]["name"].endswith(ending)]

    def one(self, kind: str, ending: str = "") -> dict[str, Any]:
        (found,) = self.of(kind, ending)
        return found

    @property
    def pod(self) -> dict[str, Any]:
        """The Deployment's Pod."""
        template: dict[str, Any] = self.one("Deployment")["spec"]["template"]
        return template

    @property
    def variables(self) -> dict[str, str]:
        return {each["name"]: each.get("value", "") for each in self.pod["spec"]["containers"][0]["env"]}


@cache
def program(major: int = 3) -> str:
    return str(build.helm(paths.here(), major))


def run(*arguments: str, major: int = 3, values: Any = None) -> subprocess.CompletedProcess[str]:
    given = ["--values", "-"] if values is not None else []
    return subprocess.run(
        [program(major), *arguments, *given],
        input=json.dumps(values) if values is not None else None,
        capture_output=True,
        text=True,
        check=False,
    )


def render(
    values: Any = None,
    *,
    kubernetes: str = "1.37.0",
    apis: tuple[str, ...] = (),
    release: str = "vch",
    chart: Path = CHART,
    major: int = 3,
) -> Rendered:
    """Raises AssertionError with Helm's words if it refuses."""
    return Rendered(
        [
            each
            for each in yaml.safe_load_all(_template(json.dumps(values or {}), kubernetes, apis, release, chart, major))
            if each
        ]
    )


@cache
def _template(values: str, kubernetes: str, apis: tuple[str, ...], release: str, chart: Path, major: int) -> str:
    there = [f"--api-versions={api}" for api in apis]
    arguments = ["template", release, str(chart), f"--namespace={NAMESPACE}", f"--kube-version={kubernetes}", *there]
    done = run(*arguments, major=major, values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def refusal(values: Any, **how: Any) -> str:
    """What Helm says when it refuses these values."""
    try:
        render(values, **how)
    except AssertionError as error:
        return str(error)
    raise AssertionError(f"these values were taken: {values}")


def notes(values: Any = None) -> str:
    """What is printed after an installation. Helm renders it with all templates, and shows it where there is a cluster:
    here it is made a template's."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "chart"
        shutil.copytree(CHART, copy)
        shown = '{{ include (print $.Template.BasePath "/NOTES.txt") . | toJson }}'
        (copy / "templates/notes.yaml").write_text(f"kind: Notes\nmetadata: {{name: notes}}\ntext: {shown}\n")
        text: str = render(values, chart=copy).one("Notes")["text"]
        return text
