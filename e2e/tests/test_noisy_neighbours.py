"""One Pod goes mad, another one notices at most that the machine is busy: neither crash nor hunger crosses a VM.

On QEMU guests. What is measured is what a client in the laboratory's network sees of a Pod that serves.
"""

import http.client
import statistics
import threading
import time
from collections.abc import Callable

import pytest

from e2e.tests.builders import make_container, make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, KubeObject, container_status, in_phase, ready
from e2e.tests.serving import PORT, make_server

pytestmark = pytest.mark.quiet

START = 300
MINUTE = 60.0
_EVERY = 0.25
_PATIENCE = 20.0
FORK_BOMB = "bomb() { bomb | bomb & }; bomb; sleep 3600"
FULL_DISK = (
    "for mib in 2048 512 64 1; do while fallocate -l ${mib}M /full-$mib-$((n = n + 1)); do :; done; done; "
    "while true; do dd if=/dev/zero of=/full-$((n = n + 1)); done"
)
PANIC = "sleep 10; echo c > /proc/sysrq-trigger; sleep 3600"


class Client:
    """Asks a Pod again and again while a block runs."""

    def __init__(self, address: str) -> None:
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._address = address
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Client":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            asked = time.monotonic()
            connection = http.client.HTTPConnection(self._address, PORT, timeout=_PATIENCE)
            try:
                connection.request("GET", "/")
                connection.getresponse().read()
                self.seconds.append(time.monotonic() - asked)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(str(error) or type(error).__name__)
            finally:
                connection.close()

    def told(self) -> str:
        slow = statistics.quantiles(self.seconds, n=100)[98] if len(self.seconds) > 1 else max(self.seconds)
        return f"p50 {statistics.median(self.seconds) * 1000:.0f} ms, p99 {slow * 1000:.0f} ms of {len(self.seconds)}"


@pytest.fixture(scope="module", name="quiet")
def _quiet(module_kube: Kube, qemu_node: str) -> KubeObject:
    """A Pod that serves, on the node of the mad ones."""
    module_kube.apply(make_server("quiet", qemu_node))
    return module_kube.until("pod", "quiet", ready, timeout=START)


def mad(name: str, node: str, script: str, **security: object) -> KubeObject:
    return make_pod(name, node, make_container(script=script, securityContext=security), restartPolicy="Never")


def minute_of(quiet: KubeObject, meanwhile: Callable[[], None]) -> Client:
    """What a client saw in the minute that began with `meanwhile`."""
    with Client(quiet["status"]["podIP"]) as client:
        ends = time.monotonic() + MINUTE
        meanwhile()
        time.sleep(max(0.0, ends - time.monotonic()))  # the minute is what is measured
    return client


@pytest.mark.parametrize(
    ("what", "script"), [("fork bomb", FORK_BOMB), ("full disk", FULL_DISK)], ids=["fork-bomb", "full-disk"]
)
def test_a_pod_that_eats_all_it_can_get_does_not_harm_its_neighbour(
    module_kube: Kube, qemu_node: str, quiet: KubeObject, figures: Figures, what: str, script: str
) -> None:
    name = what.replace(" ", "-")
    module_kube.apply(mad(name, qemu_node, script))
    module_kube.until("pod", name, in_phase("Running", "Failed"), timeout=START)
    client = minute_of(quiet, lambda: None)
    module_kube.delete("pod", name, "--force", "--grace-period=0")
    assert client.failures == []
    _unharmed(module_kube, quiet)
    figures.note(f"a Pod's answers beside a {what} in another (qemu)", client.told())


def test_a_kernel_that_panics_is_its_own_pods_end(
    module_kube: Kube, qemu_node: str, quiet: KubeObject, figures: Figures
) -> None:
    module_kube.apply(mad("panic", qemu_node, PANIC, privileged=True))
    module_kube.until("pod", "panic", in_phase("Running"), timeout=START)

    def until_failed() -> None:
        failed = module_kube.until("pod", "panic", in_phase("Failed"), timeout=START)
        assert failed["status"]["reason"], "it says why"
        assert failed["status"]["message"]

    client = minute_of(quiet, until_failed)
    assert client.failures == []
    _unharmed(module_kube, quiet)
    figures.note("a Pod's answers beside a kernel panic in another (qemu)", client.told())


def _unharmed(kube: Kube, quiet: KubeObject) -> None:
    now = kube.pod("quiet")
    assert ready(now)
    assert container_status(now)["restartCount"] == 0
    assert container_status(now)["containerID"] == container_status(quiet)["containerID"]
