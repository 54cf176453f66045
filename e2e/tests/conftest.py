"""A running laboratory for all tests of the session, and a namespace of its own for each test.

A laboratory that is up (`make up`) is used and left up; else one is brought up here and taken down at the end. The test
process itself enters the laboratory's network namespace, so that tests can speak to the virtual nodes' addresses.
Workers that run side by side have a laboratory each.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.lab import chart, laboratory, netns, paths, progress
from e2e.lab.state import State
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube
from e2e.tests.running_lab import RunningLab
from e2e.tests.vcenter_control import VCenterControl
from e2e.tests.virtual_machines import VirtualMachines

_FIGURES = pytest.StashKey[Figures]()
_KUBE = pytest.StashKey[Kube]()
GUESTS = ("native", "qemu")
_TEST_SECONDS = 900
_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--guests", default=",".join(GUESTS), help="kinds of guests to bring up, if not all are needed")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = Figures()
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        os.environ["VCH_RUN"] = str(paths.here().beside(worker).run)
    config.addinivalue_line("markers", "both_guests: the test runs on native and on QEMU guests")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "any_node" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("both_guests") is not None
        metafunc.parametrize("any_node", GUESTS if both else GUESTS[:1], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("timeout") is None and item.nodeid.startswith("e2e/"):
            # Of the test alone: the first laboratory of a machine takes a while to build.
            item.add_marker(pytest.mark.timeout(_TEST_SECONDS, func_only=True))


@pytest.fixture(scope="session")
def lab(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    place = paths.here()
    was_up = State.load(place).running("operator") is not None
    with _shown(pytestconfig):
        up = laboratory.up(place, guests=pytestconfig.getoption("--guests").split(","))
    with netns.entered(place.namespace):
        yield RunningLab(up)
    if not was_up:
        with _shown(pytestconfig):
            laboratory.down(place, keep_logs=request.session.testsfailed > 0)


@pytest.fixture(scope="session")
def api(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Iterator[Kube]:
    """kubectl at an API server that knows our kinds; nothing else needs to be up, so it is there within seconds."""
    place = paths.here()
    state = State.load(place)
    was_up = any(state.running(name) for name in state.processes)
    if not was_up:
        with _shown(pytestconfig):
            laboratory.up(place, vcenter=False, operator=False)
    chart.install_kinds(place)
    yield Kube(place.bin / "kubectl", place.kubeconfig)
    if not was_up:
        with _shown(pytestconfig):
            laboratory.down(place, keep_logs=request.session.testsfailed > 0)


@pytest.fixture(scope="session")
def node(lab: RunningLab) -> str:
    """The virtual node with native guests, which are fast."""
    return lab.node("native")


@pytest.fixture(scope="session")
def qemu_node(lab: RunningLab) -> str:
    """The virtual node with QEMU guests, which are real VMs."""
    return lab.node("qemu")


@pytest.fixture
def any_node(lab: RunningLab, request: pytest.FixtureRequest) -> str:
    """Each kind of virtual node in turn, where the test is marked `both_guests`; else the native one."""
    return lab.node(request.param)


@pytest.fixture(scope="session")
def vms(lab: RunningLab) -> VirtualMachines:
    return VirtualMachines(lab.simulator.control_url)


@pytest.fixture(scope="session")
def _vcenter(lab: RunningLab) -> VCenterControl:
    return VCenterControl(lab.simulator)


@pytest.fixture
def vcenter(_vcenter: VCenterControl) -> Iterator[VCenterControl]:
    """vCenter's hosts, logins and privileges, to be broken; whole again afterwards."""
    yield _vcenter
    _vcenter.mend()


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    """What is noted here is printed at the end of the run."""
    return pytestconfig.stash[_FIGURES]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash[_FIGURES].lines


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Of pytest-xdist: a worker has ended, and what it noted is printed with what the others did."""
    node.config.stash[_FIGURES].lines += getattr(node, "workeroutput", {}).get("figures", ())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash[_FIGURES]
    if figures.lines:
        terminalreporter.section(figures.title())
        for line in figures.lines:
            terminalreporter.write_line(line)


@pytest.fixture
def kube(lab: RunningLab, request: pytest.FixtureRequest) -> Iterator[Kube]:
    """kubectl in a namespace of this test's own."""
    with _namespace(lab, request.node.name) as kube:
        request.node.stash[_KUBE] = kube
        yield kube


@pytest.fixture(scope="module")
def module_kube(lab: RunningLab, request: pytest.FixtureRequest) -> Iterator[Kube]:
    """kubectl in a namespace that the tests of a module share."""
    with _namespace(lab, request.node.name.rpartition("/")[2].removesuffix(".py")) as kube:
        yield kube


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """What the Pods of a failed test were like goes into its report."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    kube = item.stash.get(_KUBE, None)
    if report.when == "call" and report.failed and kube is not None:
        with contextlib.suppress(Exception):
            report.sections.append(("Pods", kube.text("describe", "pods")))
    return report  # type: ignore[return-value]


@contextlib.contextmanager
def _namespace(lab: RunningLab, test: str) -> Iterator[Kube]:
    words = "".join(letter if letter.isalnum() else "-" for letter in test.lower().removeprefix("test_"))
    kube = Kube(lab.kubectl, lab.kubeconfig, f"t{next(_numbers)}-{words[:40].strip('-')}")
    kube.run("create", "namespace", kube.namespace)
    try:
        # Pods are refused until the controller has made the namespace's service account.
        kube.run("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        yield kube
    finally:
        kube.run("delete", "namespace", kube.namespace, "--wait=false", check=False)


@contextlib.contextmanager
def _shown(config: pytest.Config) -> Iterator[None]:
    """Lets progress through to the terminal: building may take minutes."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        progress.say("")
        yield
