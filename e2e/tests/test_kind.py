"""The configuration of the kind cluster, read by kind itself as far as it goes where there is no Docker engine."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from e2e.lab import build, paths
from e2e.lab.kind_cluster import IMAGE, KindCluster
from e2e.lab.state import State

_BUILD_SECONDS = 900


@pytest.fixture(name="config")
def _config() -> dict[str, Any]:
    place = paths.here()
    return dict(KindCluster(place, State(place), 16443).config())


@pytest.mark.timeout(_BUILD_SECONDS)
def test_kind_understands_the_configuration(config: dict[str, Any], tmp_path: Path) -> None:
    """It reads its configuration whole before it looks for a container engine, of which it finds none here."""
    assert "no known provider" in _said(config, tmp_path) or "docker" in _said(config, tmp_path)


@pytest.mark.timeout(_BUILD_SECONDS)
def test_kind_refuses_what_it_does_not_know(config: dict[str, Any], tmp_path: Path) -> None:
    config["nodes"][0]["roles"] = config["nodes"][0].pop("role")
    assert "roles" in _said(config, tmp_path)


def test_what_is_mounted_exists(config: dict[str, Any]) -> None:
    (node,) = config["nodes"]
    policy, logs = (Path(mount["hostPath"]) for mount in node["extraMounts"])
    assert policy.is_file()
    assert logs == paths.here().logs
    (patch,) = (json.loads(text) for text in node["kubeadmConfigPatches"])
    mounted = {volume["mountPath"] for volume in patch["apiServer"]["extraVolumes"]}
    named = {Path(each["value"]).parent for each in patch["apiServer"]["extraArgs"]}
    assert {str(folder) for folder in named} == mounted


def _said(config: dict[str, Any], folder: Path) -> str:
    """What kind says when it is asked for a cluster where no container engine is found."""
    written = folder / "kind.json"
    written.write_text(json.dumps(config))
    argv = ["create", "cluster", "--name", "never", "--image", IMAGE, "--config", str(written)]
    argv += ["--kubeconfig", str(folder / "kubeconfig")]
    done = subprocess.run(
        [str(build.kind(paths.here())), *argv],
        env={**os.environ, "PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr
