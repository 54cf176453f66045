"""`isolation: Namespace`: the Pods of each namespace are on a network of their own, judged on the laboratory's bridges.

On native guests; the laboratory is the gateway of both networks.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from e2e.lab import simulator
from e2e.lab.netns import HARDWARE_ADDRESSES, POD_BRIDGE, POD_GATEWAY, TEAM_BRIDGE, TEAM_GATEWAY
from e2e.tests import capture
from e2e.tests.builders import make_container, make_pod
from e2e.tests.capture import Capture
from e2e.tests.kube import Kube, KubeObject, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab

START = 120
SERVE = "mkdir -p /www && echo served > /www/index.html && exec httpd -f -p 8080 -h /www"
BLUE, RED, GREEN = "nets-blue", "nets-red", "nets-green"


def network(namespace: str, port_group: str, ranges: str, gateway: str) -> dict[str, Any]:
    """Of `spec.podNetwork.namespaces`."""
    return {
        "namespace": namespace,
        "portGroup": port_group,
        "ranges": [ranges],
        "prefixLength": 24,
        "gateway": gateway,
    }


ON_PODS = network(BLUE, simulator.PODS_OPEN, "10.78.0.231-10.78.0.240", POD_GATEWAY)
ON_TEAM = network(RED, simulator.TEAM, "10.79.0.231-10.79.0.250", TEAM_GATEWAY)
BESIDE_BLUE = network(RED, simulator.PODS_OPEN, "10.78.0.241-10.78.0.250", POD_GATEWAY)


def by_namespace(*networks: dict[str, Any]) -> dict[str, Any]:
    """`spec.podNetwork`, in the place of the usual one."""
    one = dict.fromkeys(("portGroup", "ranges", "prefixLength", "gateway"))
    return {**one, "isolation": "Namespace", "namespaces": list(networks)}


@pytest.fixture(scope="module", name="vch")
def _vch(lab: RunningLab, module_kube: Kube) -> Iterator[OwnVCH]:
    for name in (BLUE, RED, GREEN):
        module_kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    vch = OwnVCH(lab, module_kube, "namespaces", address="127.0.0.14")
    vch.create(podNetwork=by_namespace(ON_PODS, ON_TEAM))
    vch.ready(timeout=90)
    yield vch
    for name in (BLUE, RED, GREEN):
        module_kube.run("delete", "namespace", name, "--timeout=60s", timeout=90)
    vch.delete()


@pytest.fixture(scope="module", name="pods")
def _pods(vch: OwnVCH) -> dict[str, KubeObject]:
    wanted = [("one", BLUE), ("two", BLUE), ("three", RED)]
    for name, namespace in wanted:
        vch.kube.within(namespace).apply(make_pod(name, vch.name, make_container(script=SERVE)))
    return {name: vch.kube.within(namespace).until("pod", name, ready, timeout=START) for name, namespace in wanted}


def address(pod: KubeObject) -> str:
    return str(pod["status"]["podIP"])


def fetch(vch: OwnVCH, pod: KubeObject, other: KubeObject) -> str:
    script = f"wget -qO- http://{address(other)}:8080/"
    return vch.kube.within(pod["metadata"]["namespace"]).text("exec", pod["metadata"]["name"], "--", "sh", "-c", script)


def senders(wire: Capture, to: str) -> set[str]:
    """The hardware addresses that IP packets for an address came to its guest from."""
    return {frame.source for frame in wire.frames if frame.to_guest and frame.kind == "IPv4" and frame.target == to}


def test_pods_have_addresses_of_their_namespaces_ranges(vch: OwnVCH, pods: dict[str, KubeObject]) -> None:
    assert {name: address(pod).rpartition(".")[0] for name, pod in pods.items()} == {
        "one": "10.78.0",
        "two": "10.78.0",
        "three": "10.79.0",
    }
    message = vch.until("PodNetworkIsolated", "True", "Isolated")
    assert BLUE in message
    assert RED in message


def test_pods_of_one_namespace_reach_one_another_directly(vch: OwnVCH, pods: dict[str, KubeObject]) -> None:
    with capture.running() as wire:
        assert "served" in fetch(vch, pods["one"], pods["two"])
    gateways = set(HARDWARE_ADDRESSES.values())
    assert senders(wire, address(pods["two"]))
    assert not senders(wire, address(pods["two"])) & gateways


def test_pods_of_two_namespaces_reach_one_another_by_the_gateway_only(vch: OwnVCH, pods: dict[str, KubeObject]) -> None:
    with capture.running() as wire:
        assert "served" in fetch(vch, pods["one"], pods["three"])
    assert senders(wire, address(pods["three"])) == {HARDWARE_ADDRESSES[TEAM_BRIDGE]}
    assert senders(wire, address(pods["one"])) == {HARDWARE_ADDRESSES[POD_BRIDGE]}


def test_a_namespace_that_is_not_listed_is_refused_until_it_is(vch: OwnVCH) -> None:
    green = vch.kube.within(GREEN)
    green.apply(make_pod("stranger", vch.name))
    refused = green.until("pod", "stranger", lambda pod: pod["status"].get("phase") == "Failed", timeout=30)
    assert refused["status"]["reason"] == "NamespaceNotListed"
    assert "spec.podNetwork.namespaces" in refused["status"]["message"]
    beside_blue = network(GREEN, simulator.PODS_OPEN, "10.78.0.241-10.78.0.250", POD_GATEWAY)
    vch.apply(podNetwork=by_namespace(ON_PODS, ON_TEAM, beside_blue))
    vch.until("PodNetworkIsolated", "False", "PortGroupNotIsolated", says=GREEN)
    green.apply(make_pod("guest", vch.name))
    assert address(green.until("pod", "guest", ready, timeout=START)).startswith("10.78.0.24")


def test_namespaces_on_one_port_group_are_said_not_to_be_apart(vch: OwnVCH) -> None:
    vch.apply(podNetwork=by_namespace(ON_PODS, BESIDE_BLUE))
    message = vch.until("PodNetworkIsolated", "False", "PortGroupNotIsolated", says=RED)
    assert simulator.PODS_OPEN in message
    vch.apply(podNetwork=by_namespace(ON_PODS, {**ON_TEAM, "portGroup": "nowhere"}))
    assert simulator.TEAM in vch.until("PlacementResolved", "False", "PortGroupNotFound")
    vch.apply(podNetwork=by_namespace(ON_PODS, ON_TEAM))
    vch.until("PodNetworkIsolated", "True", "Isolated")
    vch.ready(timeout=60)
