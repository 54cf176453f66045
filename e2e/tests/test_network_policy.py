"""NetworkPolicies hold for Pods in pod VMs: who connects to whom, asked from inside the Pods.

On native guests, whose gateway is the same as in a VM. The Pods of the module are shared; each test writes its own
policies, and everything is open again before the next.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.tests.builders import make_container, make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, KubeObject, condition, ready, running
from e2e.tests.serving import OTHER_PORT, PORT, make_server

START = 120  # seconds; generous, a busy machine is no failure
TAKES_EFFECT = 30.0
"""Seconds; generous too: how soon a change is in force (five are promised) is a figure."""
SERVER: KubeObject = {"matchLabels": {"app": "server"}}


@dataclass(frozen=True, slots=True)
class Peer:
    """A Pod that serves, and can be told to connect."""

    kube: Kube
    name: str
    address: str

    def reaches(self, other: "Peer", port: int = PORT) -> bool:
        script = f"nc -w 1 {other.address} {port} </dev/null >/dev/null 2>&1 && echo open!"
        return b"open!" in self.kube.run("exec", self.name, "--", "sh", "-c", script, check=False).stdout


@dataclass(frozen=True, slots=True)
class World:
    """`server`, and who wants to talk to it: `friend` and `stranger` are its neighbours, `foreign` is of team x."""

    kube: Kube
    figures: Figures
    server: Peer
    friend: Peer
    stranger: Peer
    foreign: Peer

    def policy(self, name: str = "policy", subject: KubeObject | None = None, **spec: Any) -> None:
        """Write a policy, the server's unless another subject is named."""
        self.kube.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": name},
                "spec": {"podSelector": SERVER if subject is None else subject, **spec},
            }
        )

    def becomes(self, *, to: Peer, port: int = PORT, within: float = TAKES_EFFECT, **wanted: bool) -> float:
        """The seconds after which these Pods reach, or do not reach, another."""
        began = time.monotonic()
        wrong = dict(wanted)
        while wrong:
            wrong = {name: may for name, may in wrong.items() if getattr(self, name).reaches(to, port) is not may}
            took = time.monotonic() - began
            if wrong and took > within:
                raise AssertionError(f"not within {within} s: to {to.name}:{port} {wrong}")
        return took

    def note(self, what: str, took: float) -> None:
        self.figures.note(f"NetworkPolicy: {what}, as connections of a Pod see it", f"{took:.1f} s")


@pytest.fixture(scope="module", name="peers")
def _peers(module_kube: Kube, node: str) -> Iterator[dict[str, Peer]]:
    own, other = module_kube, module_kube.within(f"{module_kube.namespace}-x")
    own.run("create", "namespace", other.namespace)
    try:
        own.run("label", "namespace", other.namespace, "team=x")
        other.run("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
        own.apply(*(make_server(name, node, app=name, failures=3) for name in ("server", "friend", "stranger")))
        other.apply(make_server("foreign", node, app="foreign", failures=3))
        yield {
            name: Peer(kube, name, kube.until("pod", name, ready, timeout=START)["status"]["podIP"])
            for kube, name in ((own, "server"), (own, "friend"), (own, "stranger"), (other, "foreign"))
        }
    finally:
        own.run("delete", "namespace", other.namespace, "--wait=false", check=False)


@pytest.fixture
def world(module_kube: Kube, peers: dict[str, Peer], figures: Figures) -> Iterator[World]:
    made = World(module_kube, figures, **peers)
    made.becomes(to=made.server, friend=True, stranger=True, foreign=True)
    yield made
    module_kube.run("delete", "networkpolicy", "--all")
    made.becomes(to=made.server, friend=True, stranger=True, foreign=True)


def test_a_default_denial_shuts_everybody_out_but_the_kubelet(world: World) -> None:
    world.policy(policyTypes=["Ingress"])
    took = world.becomes(to=world.server, friend=False, stranger=False, foreign=False)
    world.note("three Pods are shut out", took)
    assert world.server.reaches(world.friend), "its own connections go out, and their replies come in"
    for pod in world.kube.watch("pod", "server", timeout=5):
        assert condition(pod, "Ready") == "True", "a probe of the kubelet failed"


def test_pods_are_allowed_by_their_labels(world: World) -> None:
    world.policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}])
    world.becomes(to=world.server, stranger=False, foreign=False, friend=True)


def test_pods_are_allowed_by_the_labels_of_their_namespace(world: World) -> None:
    world.policy(ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "x"}}}]}])
    world.becomes(to=world.server, stranger=False, friend=False, foreign=True)


@pytest.mark.parametrize("port", [PORT, "web"])
def test_ports_are_allowed_by_number_and_by_name(world: World, port: int | str) -> None:
    world.policy(ingress=[{"ports": [{"protocol": "TCP", "port": port}]}])
    world.becomes(to=world.server, port=OTHER_PORT, friend=False, foreign=False)
    world.becomes(to=world.server, friend=True, foreign=True)


def test_a_pod_that_may_not_go_out_still_answers(world: World) -> None:
    world.policy(subject={"matchLabels": {"app": "stranger"}}, policyTypes=["Egress"])
    world.becomes(to=world.server, stranger=False, friend=True)
    assert world.friend.reaches(world.stranger)


def test_addresses_are_allowed_by_block_but_for_exceptions(world: World) -> None:
    block = {"cidr": "10.78.0.0/24", "except": [f"{world.stranger.address}/32"]}
    world.policy(ingress=[{"from": [{"ipBlock": block}]}])
    world.becomes(to=world.server, stranger=False, friend=True, foreign=True)


def test_an_edit_and_the_end_of_a_policy_take_effect_at_once(world: World) -> None:
    def allow(*names: str) -> None:
        peers = [{"podSelector": {"matchLabels": {"app": name}}} for name in names]
        world.policy("edited", policyTypes=["Ingress"], ingress=[{"from": peers}] if peers else [])

    allow()
    world.becomes(to=world.server, friend=False)
    allow("friend")
    world.note("an edit opens", world.becomes(to=world.server, friend=True))
    allow("stranger")
    world.note("an edit shuts", world.becomes(to=world.server, friend=False))
    world.kube.delete("networkpolicy", "edited")
    world.note("its deletion opens", world.becomes(to=world.server, friend=True))


def test_a_pod_that_changes_its_labels_changes_its_permissions(world: World) -> None:
    world.policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"badge": "yes"}}}]}])
    world.becomes(to=world.server, stranger=False)
    world.kube.run("label", "pod", "stranger", "badge=yes")
    try:
        world.note("a label of a peer opens", world.becomes(to=world.server, stranger=True))
        assert not world.friend.reaches(world.server)
    finally:
        world.kube.run("label", "pod", "stranger", "badge-")
    world.becomes(to=world.server, stranger=False)


def test_a_pod_is_isolated_from_its_first_packet(world: World, node: str) -> None:
    subject = {"matchLabels": {"app": "late"}}
    world.policy("late", subject=subject, policyTypes=["Egress"])
    script = f"for i in 1 2 3; do nc -w 1 {world.server.address} {PORT} </dev/null && echo open!; done; echo tried"
    world.kube.apply(make_pod("late", node, make_container(script=f"{script}; exec sleep 3600")))
    try:
        world.kube.until("pod", "late", running, timeout=START)
        printed = ""
        for line in _followed(world.kube, "late"):
            printed += line
            if "tried" in line:
                break
        assert "open!" not in printed
    finally:
        world.kube.delete("pod", "late")


def _followed(kube: Kube, pod: str) -> Iterator[str]:
    following = kube.start("logs", "-f", pod)
    try:
        assert following.stdout is not None
        yield from (line.decode() for line in following.stdout)
    finally:
        following.kill()
        following.communicate()
