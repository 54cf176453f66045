"""What the gateway namespace costs: throughput and round trips from a Pod to its network's gateway, as ratios.

On native guests, all on one machine: the ratios are of interest, not the figures. The base is a Pod without policy on a
VCH that routes no Services in its guests.
"""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from e2e.lab.netns import POD_GATEWAY
from e2e.tests.builders import make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.serving import Seat, make_endpoints, make_service

pytestmark = pytest.mark.quiet

START = 120
MIB = 256
PINGS = 200
BLOCKS = 50
ROUNDS = 3
_READ = 1 << 18


class Sink:
    """Takes what is sent to it, one connection after the other."""

    def __init__(self) -> None:
        self._listening = socket.create_server((POD_GATEWAY, 0))
        self._listening.settimeout(START)
        self.port: int = self._listening.getsockname()[1]

    def close(self) -> None:
        self._listening.close()

    def rate(self, seat: Seat, host: str, port: int) -> float:
        """MiB a second that come from the Pod."""
        script = f"dd if=/dev/zero bs=64k count={MIB * 16} 2>/dev/null | nc {host} {port}"
        sending = threading.Thread(target=seat.run, args=(script,), daemon=True)
        sending.start()
        connection, _ = self._listening.accept()
        with connection:
            got, began = len(connection.recv(_READ)), time.monotonic()
            while data := connection.recv(_READ):
                got += len(data)
            took = time.monotonic() - began
        sending.join()
        assert got == MIB << 20
        return MIB / took


@pytest.fixture(name="bare")
def _bare(lab: RunningLab, kube: Kube) -> Iterator[OwnVCH]:
    """A VCH whose guests route no Services."""
    vch = OwnVCH(lab, kube, "bare", address="127.0.0.16")
    vch.create(podNetwork={"serviceRouting": "None"})
    try:
        vch.ready()
        yield vch
    finally:
        vch.delete()


def test_what_policies_and_services_cost_a_connection(kube: Kube, node: str, bare: OwnVCH, figures: Figures) -> None:
    allowed = [{"ipBlock": {"cidr": f"10.{number}.0.0/16"}} for number in range(100, 100 + BLOCKS)]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "listed"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "policed"}},
            "policyTypes": ["Egress"],
            "egress": [{"to": [*allowed, {"ipBlock": {"cidr": f"{POD_GATEWAY}/32"}}]}],
        },
    }
    with closing(Sink()) as sink:
        service = make_service("sink", app=None)
        kube.apply(policy, service, make_endpoints("sink", [POD_GATEWAY], sink.port))
        kube.apply(make_pod("bare", bare.name), make_pod("plain", node), make_pod("policed", node))
        for name in ("bare", "plain", "policed"):
            kube.until("pod", name, ready, timeout=START)
        found = kube.get("service", "sink")
        assert found is not None
        ways = {
            "no policy, no service routing": ("bare", POD_GATEWAY, sink.port),
            "service routing": ("plain", POD_GATEWAY, sink.port),
            f"service routing, {BLOCKS} blocks of a policy": ("policed", POD_GATEWAY, sink.port),
            "service routing, by a ClusterIP": ("plain", found["spec"]["clusterIP"], 80),
        }
        rates = {
            what: max(sink.rate(Seat(kube, pod), host, port) for _ in range(ROUNDS))
            for what, (pod, host, port) in ways.items()
        }
    trips = {what: round_trip(Seat(kube, pod)) for what, (pod, host, _) in ways.items() if host == POD_GATEWAY}
    base, *_ = ways
    figures.note(
        f"Pod to gateway (native): {base}", f"{rates[base]:.0f} MiB/s, {trips[base] * 1000:.0f} µs there and back"
    )
    for what in [*ways][1:]:
        trip = f", {trips[what] / trips[base]:.2f} of its round trip" if what in trips else ""
        figures.note(f"  {what}", f"{rates[what] / rates[base]:.2f} of the throughput{trip}")


def round_trip(seat: Seat) -> float:
    """Milliseconds, the least of the averages."""
    return min(_average(seat.run(f"ping -A -q -c {PINGS} {POD_GATEWAY}")) for _ in range(ROUNDS))


def _average(told: str) -> float:
    found = re.search(r"round-trip min/avg/max = [\d.]+/([\d.]+)/", told)
    assert found, told
    return float(found[1])
