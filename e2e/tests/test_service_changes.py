"""What it costs a guest that a Service of the cluster changes all the time, whether its Pod wants to know or not."""

import time

import pytest

from e2e.lab.netns import POD_GATEWAY
from e2e.tests.builders import make_pod
from e2e.tests.figures import Figures
from e2e.tests.guest_usage import Meter
from e2e.tests.kube import Kube, KubeObject, ready
from e2e.tests.running_lab import RunningLab
from e2e.tests.serving import Seat, make_endpoints, make_service, ordinary_server
from e2e.tests.virtual_machines import VirtualMachines

pytestmark = pytest.mark.quiet

START = 120
ENDPOINTS = 100
CHANGES = 20
SECOND = 1.0
KIB = 1024


def endpoints(change: int) -> KubeObject:
    """As the cluster's controller writes them; with each change one more is another Pod."""
    kept = make_endpoints("busy", (f"10.79.{int(n < change)}.{n}" for n in range(ENDPOINTS)))
    for number, endpoint in enumerate(kept["endpoints"]):
        pod = {"kind": "Pod", "namespace": "default", "name": f"busy-{change if number < change else 0}-{number}"}
        endpoint.update(nodeName=f"worker-{number % 10}", targetRef=pod, zone="a", conditions={"ready": True})
    return kept


def test_a_guest_follows_a_service_that_changes_every_second(
    kube: Kube, node: str, lab: RunningLab, vms: VirtualMachines, figures: Figures
) -> None:
    kube.apply(make_pod("client", node), make_service("busy", app=None), endpoints(0))
    pod = kube.until("pod", "client", ready, timeout=START)
    (vm,) = vms.of(pod["metadata"]["uid"])
    seat, meter = Seat(kube, "client"), Meter.of(lab, vm)
    with ordinary_server("at last") as server:
        kube.apply(make_service("still", app=None), make_endpoints("still", [POD_GATEWAY], server.port))
        seat.until_served("still")  # all that was there before has come
        before = meter.read()
        time.sleep(CHANGES * SECOND)  # what passes is what is measured
        quiet = meter.read().since(before)
        before = meter.read()
        for number in range(1, CHANGES + 1):
            due = time.monotonic() + SECOND
            kube.apply(endpoints(number))
            time.sleep(max(0.0, due - time.monotonic()))
        changing = meter.read().since(before)
        changed = time.monotonic()
        kube.apply(make_endpoints("busy", [POD_GATEWAY], server.port))
        seat.until_served("busy", by="at last")
        followed = time.monotonic() - changed
    per_change = (changing.to_guest - quiet.to_guest) / CHANGES / KIB
    cpu = (changing.cpu - quiet.cpu) / CHANGES * 1000
    what = f"a Service with {ENDPOINTS} endpoints changes every second, {CHANGES} times:"
    figures.note(f"{what} to a guest", f"{changing.to_guest / KIB:.0f} KiB, {per_change:.1f} KiB for a change")
    figures.note("  from the guest", f"{changing.from_guest / KIB:.1f} KiB")
    figures.note("  CPU of the native guest's services", f"{changing.cpu:.2f} s, {cpu:.0f} ms for a change")
    was = f"{quiet.to_guest / KIB:.1f} KiB, {quiet.from_guest / KIB:.1f} KiB, {quiet.cpu:.2f} s"
    figures.note("  the same three in as many quiet seconds", was)
    figures.note("  kubectl apply of the last change to the first connection by it", f"{followed:.2f} s")
    assert 0 < per_change < 16, "of an endpoint its address and its node travel, and nothing of other Services"
