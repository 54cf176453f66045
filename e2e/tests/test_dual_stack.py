"""Pods with an address of each family, and Pods with IPv6 alone: seen in their status, from inside, and on the wire.

On native guests, of VirtualContainerHosts of the module's own.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.lab.netns import HARDWARE_ADDRESSES, POD_BRIDGE, POD_GATEWAY6, POD_PREFIX_LENGTH6
from e2e.tests import capture
from e2e.tests.builders import field_env, make_container, make_pod
from e2e.tests.kube import Kube, KubeObject, condition, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.serving import PORT, Seat, make_service

START = 120
TAKES_EFFECT = 30  # seconds; generous, see test_network_policy
SERVE = f"echo $NAME > /tmp/index.html && exec httpd -f -p {PORT} -h /tmp"
PROBE = {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1, "failureThreshold": 3, "timeoutSeconds": 2}
GATEWAY_CARD = HARDWARE_ADDRESSES[POD_BRIDGE]


def make_ipv6(*ranges: str) -> dict[str, Any]:
    return {"ranges": list(ranges), "prefixLength": POD_PREFIX_LENGTH6, "gateway": POD_GATEWAY6}


def make_server(name: str, vch: OwnVCH) -> KubeObject:
    """A Pod that serves its name on all its addresses, and is Ready when its first does."""
    names = [{"name": "NAME", "value": name}, field_env("IPS", "status.podIPs")]
    return make_pod(name, vch.name, make_container(script=SERVE, env=names, readinessProbe=PROBE))


def addresses(pod: KubeObject) -> list[str]:
    return [each["ip"] for each in pod["status"]["podIPs"]]


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """Two Pods that have an address of each family, each of which serves and asks."""

    kube: Kube
    server: KubeObject
    client: KubeObject

    def gets(self, address: str) -> str:
        """What the client is served there, over whichever family."""
        host = f"[{address}]" if ":" in address else address
        return Seat(self.kube, "client").run(f"timeout 2 wget -qO- http://{host}:{PORT}/", check=False).strip()

    def becomes(self, address: str, served: str) -> None:
        """What the client is served there is this, after a while and then again."""
        until = "until" if served else "while"
        host = f"[{address}]" if ":" in address else address
        Seat(self.kube, "client").run(
            f"end=$(($(date +%s) + {TAKES_EFFECT})); {until} timeout 1 wget -qO- http://{host}:{PORT}/; do "
            "[ $(date +%s) -lt $end ] || exit 1; usleep 200000; done"
        )
        assert self.gets(address) == served

    def policy(self, **spec: Any) -> None:
        """The server's."""
        subject = {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"]}
        meta = {"name": "policy"}
        kind = "NetworkPolicy"
        self.kube.apply(
            {"apiVersion": "networking.k8s.io/v1", "kind": kind, "metadata": meta, "spec": {**subject, **spec}}
        )


@pytest.fixture(scope="module", name="dual")
def _dual(lab: RunningLab, module_kube: Kube) -> Iterator[OwnVCH]:
    vch = OwnVCH(lab, module_kube, "dual", address="127.0.0.11", guests="10.77.0.231-10.77.0.240")
    vch.create(podNetwork={"ipv6": make_ipv6("fd78::10-fd78::ffff:ffff:ffff")})
    try:
        vch.ready(timeout=START)
        yield vch
    finally:
        vch.delete()


@pytest.fixture(scope="module", name="world")
def _world(dual: OwnVCH, module_kube: Kube) -> World:
    module_kube.apply(make_server("server", dual), make_server("client", dual))
    return World(module_kube, *(module_kube.until("pod", name, ready, timeout=START) for name in ("server", "client")))


@pytest.fixture(name="policed")
def _policed(world: World) -> Iterator[World]:
    yield world
    world.kube.run("delete", "networkpolicy", "--all")
    for address in addresses(world.server):
        world.becomes(address, "server")


def test_a_pod_has_an_address_of_each_family_ipv4_first(world: World) -> None:
    for pod in (world.server, world.client):
        four, six = addresses(pod)
        assert (four, four[:6], six[:6]) == (pod["status"]["podIP"], "10.78.", "fd78::")
        seat = Seat(world.kube, pod["metadata"]["name"])
        shown = seat.run("ip address show eth0")
        assert f"inet {four}/24" in shown
        assert f"inet6 {six}/128" in shown
        assert seat.run("echo $IPS").strip() == f"{four},{six}"
        assert {four, six} <= set(seat.run("cat /etc/hosts").split())


def test_pods_reach_one_another_over_ipv6_through_the_gateway_and_no_other_way(world: World) -> None:
    (_, own), (_, other) = addresses(world.client), addresses(world.server)
    with capture.running() as wire:
        assert world.gets(other) == "server"
    sent = [frame for frame in wire.frames if not frame.to_guest and frame.sender == own]
    assert sent
    assert {frame.destination for frame in sent} == {GATEWAY_CARD}
    got = [frame for frame in wire.frames if frame.to_guest and frame.target == other]
    assert got
    assert {frame.source for frame in got} == {GATEWAY_CARD}


def test_a_service_of_both_families_is_reached_over_either(world: World) -> None:
    (service,) = world.kube.apply(make_service("web", app="server", ipFamilyPolicy="PreferDualStack"))
    clusters = service["spec"]["clusterIPs"]
    if len(clusters) < 2:
        pytest.skip("the cluster has no Service addresses of IPv6")
    for name in ("client", "server"):  # the server reaches itself
        for address in clusters:
            assert Seat(world.kube, name).until_served(f"[{address}]" if ":" in address else address) == "server"


def test_a_default_denial_holds_for_both_families_and_the_kubelet_is_let_in(policed: World) -> None:
    policed.policy()
    for address in addresses(policed.server):
        policed.becomes(address, "")
    for pod in policed.kube.watch("pod", "server", timeout=5):
        assert condition(pod, "Ready") == "True", "a probe of the kubelet failed"


def test_a_peer_is_allowed_with_all_its_addresses(policed: World) -> None:
    policed.policy()
    for address in addresses(policed.server):
        policed.becomes(address, "")
    policed.policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}])
    for address in addresses(policed.server):
        policed.becomes(address, "server")


def test_addresses_of_ipv6_are_allowed_by_block_but_for_exceptions(policed: World) -> None:
    (four, six), (_, own) = addresses(policed.server), addresses(policed.client)
    policed.policy(ingress=[{"from": [{"ipBlock": {"cidr": "fd78::/64"}}]}])
    policed.becomes(four, "")
    assert policed.gets(six) == "server"
    policed.policy(ingress=[{"from": [{"ipBlock": {"cidr": "fd78::/64", "except": [f"{own}/128"]}}]}])
    policed.becomes(six, "")


def test_pods_may_have_ipv6_alone(lab: RunningLab, kube: Kube, world: World) -> None:
    vch = OwnVCH(lab, kube, "six", address="127.0.0.12", guests="10.77.0.241-10.77.0.250")
    alone = make_ipv6("fd78:0:0:0:1::10-fd78:0:0:0:1::ff")
    vch.create(podNetwork={"ranges": None, "prefixLength": None, "gateway": None, "ipv6": alone})
    try:
        vch.ready(timeout=START)
        kube.apply(make_server("alone", vch), make_service("alone", app="alone", ipFamilies=["IPv6"]))
        pod = kube.until("pod", "alone", ready, timeout=START, what="the kubelet's probe reaches it over IPv6")
        (own,) = addresses(pod)
        assert pod["status"]["podIP"] == own == "fd78::1:0:0:10"
        seat = Seat(kube, "alone")
        assert seat.run("echo $IPS").strip() == own
        assert "inet " not in seat.run("ip address show eth0")
        assert world.gets(own) == "alone"
        (service,) = kube.objects("services")
        assert Seat(world.kube, "client").until_served(f"[{service['spec']['clusterIP']}]") == "alone"
        assert seat.until_served(f"[{service['spec']['clusterIP']}]") == "alone"
    finally:
        kube.run("delete", "pod", "--all")
        vch.delete()


def test_ranges_of_ipv6_that_hold_the_gateway_are_named(dual: OwnVCH, world: World) -> None:
    dual.apply(podNetwork={"ipv6": make_ipv6("fd78::-fd78::ff")})
    dual.until("PlacementResolved", "False", "InvalidSpec", says="spec.podNetwork.ipv6.ranges")
    dual.apply(podNetwork={"ipv6": make_ipv6("fd78::10-fd78::ffff:ffff:ffff")})
    dual.ready()
    assert world.gets(addresses(world.server)[1]) == "server"
