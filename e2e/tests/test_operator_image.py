"""The operator's image: what is in it, and that the operator runs from it as the chart runs it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.lab import operator_image, paths
from e2e.lab.operator_image import Image
from e2e.lab.vch_operator import NAMESPACE
from e2e.tests.builders import make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, ready
from e2e.tests.running_lab import RunningLab

_BUILD_SECONDS = 1800


@pytest.fixture(name="image", scope="module")
def _image() -> Image:
    return operator_image.made(paths.here())


@pytest.mark.timeout(_BUILD_SECONDS)
def test_nothing_in_the_image_is_for_root_to_run_or_for_its_user_to_change(image: Image, figures: Figures) -> None:
    assert image.config["User"] == "65532:65532"
    ours = image.root / "opt/vch"
    writable = [path for path in ours.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert not writable
    assert not [path for path in ours.rglob("*") if path.lstat().st_uid == 65532]
    size = sum(path.lstat().st_size for path in ours.rglob("*") if not path.is_dir())
    figures.note("operator's image: added to its base", f"{size / 2**20:.0f} MiB")


def test_it_has_the_operator_and_what_that_needs_alone(image: Image) -> None:
    installed = image.root.glob("opt/vch/lib/*/site-packages/*.dist-info")
    packages = {path.name.partition("-")[0].lower() for path in installed}
    assert {"kopf", "pyvmomi", "kubernetes"} <= packages
    assert not packages & {"pip", "setuptools", "pytest", "mypy"}
    assert not list((image.root / "opt/vch/app").rglob("test*"))


def test_its_labels_say_what_it_is(image: Image) -> None:
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in image.config["Labels"].items()}
    assert labels["title"] == "virtual-kubelet-vch"
    assert labels["licenses"] == "Apache-2.0"
    assert {"version", "revision", "description"} <= labels.keys()


@pytest.fixture(name="container")
def _container(lab: RunningLab, image: Image) -> Iterator[str]:
    """A container with the operator in the place of the laboratory's; the name of the replica."""
    state, place = lab.laboratory.state, lab.laboratory.paths
    name = f"operator-image-{place.lab_id}"
    folder = place.state / name
    lab.operator.stop()
    mine, settings = _own_files(place.state / f"{name}-files", lab.operator.settings(lab.laboratory.cluster))
    argv = operator_image.bundle(
        image, folder, namespace=place.namespace, env={**settings, "VCH_IDENTITY": name}, files=mine
    )
    state.start(name, argv)
    try:
        yield name
    finally:
        state.stop(name)
        operator_image.remove(name)
        shutil.rmtree(folder)
        shutil.rmtree(place.state / f"{name}-files")
        lab.start_operator()


def test_the_operator_runs_from_it_without_rights_on_a_file_system_that_is_read_only(
    container: str, lab: RunningLab, node: str, kube: Kube
) -> None:
    kube.apply(make_pod("from-image", node))
    kube.until("pod", "from-image", ready, timeout=120)
    lab.until_exec_works(kube, "from-image")
    lease = kube.within(NAMESPACE).get("lease", f"vch-{node}")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == container
    assert lab.laboratory.state.stop(container), "it ended when it was asked to"


def _own_files(folder: Path, settings: dict[str, str]) -> tuple[list[Path], dict[str, str]]:
    """Copies of the files that the settings name, for another user to read; the settings with their names."""
    folder.mkdir(mode=0o755)
    copies = {name: folder / Path(value).name for name, value in settings.items() if os.path.isabs(value)}
    for name, copy in copies.items():
        shutil.copyfile(settings[name], copy)
        copy.chmod(0o400)
    return list(copies.values()), {**settings, **{name: str(copy) for name, copy in copies.items()}}
