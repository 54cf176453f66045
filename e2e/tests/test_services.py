"""A Pod reaches Services and is reached through them, whoever is behind: kube-proxy in the Pod's own VM routes them."""

import contextlib
import http.client
import itertools
import json
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.lab.netns import POD_GATEWAY
from e2e.tests.builders import make_container, make_pod
from e2e.tests.figures import Figures
from e2e.tests.kube import Kube, KubeObject, ready
from e2e.tests.running_lab import RunningLab
from e2e.tests.serving import PORT, Seat, make_endpoints, make_server, make_service, ordinary_server
from e2e.tests.virtual_machines import VirtualMachines

START = 120
QEMU_START = 300
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
SAME_ANSWERS = 30
"""In a row: with two endpoints, of which each connection gets one by chance, this does not happen."""


@pytest.fixture(scope="module", name="seat")
def _seat(module_kube: Kube, node: str) -> Seat:
    """A Pod on native guests that serves nothing."""
    module_kube.apply(make_pod("client", node))
    module_kube.until("pod", "client", ready, timeout=START)
    return Seat(module_kube, "client")


@pytest.fixture(scope="module", name="first")
def _first(module_kube: Kube, node: str) -> KubeObject:
    """A Pod on native guests behind the Service `web`."""
    module_kube.apply(make_service("web"), make_server("first", node))
    return module_kube.until("pod", "first", ready, timeout=START)


def test_a_service_is_reached_by_its_name_and_by_its_address(seat: Seat, first: KubeObject) -> None:
    service = seat.kube.objects("services")[0]
    address = service["spec"]["clusterIP"]
    full = f"web.{seat.kube.namespace}.svc.cluster.local"
    assert seat.until_served(full) == "first"
    for host in ("web", f"web.{seat.kube.namespace}", f"web.{seat.kube.namespace}.svc", address):
        assert seat.fetch(host) == "first", host
    assert seat.addresses(full) == {address}


def test_a_pod_reaches_itself_through_its_service(seat: Seat, first: KubeObject) -> None:
    assert Seat(seat.kube, "first").until_served("web") == "first"


def test_an_ordinary_endpoint_is_reached_and_sees_the_pods_own_address(seat: Seat) -> None:
    with ordinary_server("ordinary") as server:
        seat.kube.apply(make_service("outside", app=None), make_endpoints("outside", [POD_GATEWAY], server.port))
        assert seat.until_served("outside") == "ordinary"
        assert set(server.clients) == {seat.kube.pod("client")["status"]["podIP"]}


def test_a_service_follows_its_pods_and_takes_turns(seat: Seat, node: str, figures: Figures) -> None:
    kube = seat.kube
    kube.apply(make_service("turns", app="turns"), make_server("one", node, app="turns"))
    kube.until("pod", "one", ready, timeout=START)
    assert seat.until_served("turns") == "one"
    with answers(seat, "turns") as told:
        kube.apply(make_server("two", node, app="turns"))
        kube.until("pod", "two", ready, timeout=START)
        at_ready = time.monotonic()
        joined = next(moment for moment, name in told if name == "two")
        both = {name for _, name in itertools.islice(told, SAME_ANSWERS)}
        at_deletion = left = time.monotonic()
        kube.delete("pod", "one", "--grace-period=10")
        missed = in_a_row = 0
        for moment, name in told:
            in_a_row = in_a_row + 1 if name == "two" else 0
            missed += name == "none"
            left = left if name == "two" else moment
            if in_a_row == SAME_ANSWERS:
                break
    figures.note(
        "a Service's new Pod Ready to the first connection that it gets", f"{max(0.0, joined - at_ready):.2f} s"
    )
    figures.note(
        "kubectl delete of a Service's Pod to the last connection that it gets", f"{max(0.0, left - at_deletion):.2f} s"
    )
    assert both == {"one", "two"}
    assert missed == 0, "the deleted Pod had 10 s to end: no connection had to fail"
    assert joined - at_ready < 5
    assert left - at_deletion < 5


def test_the_api_server_is_reached_with_the_pods_token_through_its_service(seat: Seat, node: str) -> None:
    kube = seat.kube
    script = f"exec nc -ll -p {PORT} -e nc $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT"
    kube.apply(make_pod("way", node, make_container(script=script)))
    pod = kube.until("pod", "way", ready, timeout=START)
    way = Seat(kube, "way")
    way.run("timeout 10 nc $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null")
    # The image has no TLS that the API server takes, so it is spoken here; what it travels in is the Pod's.
    trusted = ssl.create_default_context(cadata=way.run(f"cat {ACCOUNT}/ca.crt"))
    token = way.run(f"cat {ACCOUNT}/token")
    answer = asked(pod["status"]["podIP"], trusted, token, f"/api/v1/namespaces/{kube.namespace}/secrets")
    assert answer["code"] == 403
    assert f'"system:serviceaccount:{kube.namespace}:default"' in answer["message"]


def test_no_node_port_is_open(seat: Seat, first: KubeObject, lab: RunningLab, vms: VirtualMachines) -> None:
    kube = seat.kube
    (service,) = kube.apply(make_service("ported", type="NodePort"))
    port = service["spec"]["ports"][0]["nodePort"]
    assert seat.until_served("ported")
    own = kube.pod("client")["status"]["podIP"]
    for address in (own, "127.0.0.1", "169.254.1.1", "169.254.1.2", kube.pod("client")["status"]["hostIP"]):
        opened = seat.run(f"timeout 3 nc {address} {port} </dev/null && echo open", check=False)
        assert "open" not in opened, address
    (vm,) = vms.of(kube.pod("client")["metadata"]["uid"])
    for address in (own, lab.management_address(vm["name"])):
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            socket.create_connection((address, port), timeout=3)


def test_services_and_their_names_work_in_qemu_guests(kube: Kube, qemu_node: str) -> None:
    kube.apply(make_service("web"), make_server("web", qemu_node), make_pod("client", qemu_node))
    for each in ("web", "client"):
        kube.until("pod", each, ready, timeout=QEMU_START)
    seat = Seat(kube, "client")
    name = f"web.{kube.namespace}.svc.cluster.local"  # `web` alone is the Pod's own name in it
    assert seat.until_served(name, seconds=60) == "web"
    assert seat.fetch(kube.objects("services")[0]["spec"]["clusterIP"]) == "web"
    assert Seat(kube, "web").until_served(name, seconds=60) == "web"
    with ordinary_server("ordinary") as server:
        kube.apply(make_service("outside", app=None), make_endpoints("outside", [POD_GATEWAY], server.port))
        assert seat.until_served("outside", seconds=60) == "ordinary"


@contextlib.contextmanager
def answers(seat: Seat, host: str) -> Iterator[Iterator[tuple[float, str]]]:
    """When and what a Service answers, again and again until the block ends; `none` where it does not."""
    ask = f"timeout 5 wget -qO- http://{host}/ 2>/dev/null || echo none"
    asking = seat.kube.start("exec", seat.pod, "--", "sh", "-c", f"while true; do {ask}; usleep 50000; done")
    told: queue.SimpleQueue[tuple[float, str]] = queue.SimpleQueue()

    def read() -> None:
        assert asking.stdout is not None
        for line in asking.stdout:
            told.put((time.monotonic(), line.decode().strip()))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield iter(lambda: told.get(timeout=START), None)
    finally:
        asking.kill()
        reader.join()
        asking.communicate()


def asked(address: str, trusted: ssl.SSLContext, token: str, path: str) -> dict[str, Any]:
    """What the API server says to a token, by way of an address that leads to it."""
    name = "kubernetes.default.svc"
    with (
        socket.create_connection((address, PORT), timeout=20) as raw,
        trusted.wrap_socket(raw, server_hostname=name) as secure,
    ):
        connection = http.client.HTTPSConnection(name)
        connection.sock = secure
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
