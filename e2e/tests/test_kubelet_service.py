"""A virtual node without an address of the machine's: its kubelet API is behind a Service, whichever replica serves it.

The API server dials the Node's InternalIP, a ClusterIP, which the laboratory's kube-proxy leads to the operator.
"""

import socket
import ssl
import time
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from e2e.lab.vch_operator import NAMESPACE, POD_IPS
from e2e.tests import replicas
from e2e.tests.builders import FOREVER, make_container, make_pod
from e2e.tests.kube import Kube, KubeObject, NeverHappened, ready
from e2e.tests.own_vch import OwnVCH
from e2e.tests.running_lab import RunningLab
from e2e.tests.serving import Seat

START = 120
TAKEOVER = 30
PORT = 10250
NAME, SERVICE = "behind-service", "vch-behind-service"


@pytest.fixture(scope="module", name="vch")
def _vch(lab: RunningLab, module_kube: Kube) -> Iterator[OwnVCH]:
    """With one Pod, `talker`."""
    vch = OwnVCH(lab, module_kube, NAME, address=None)
    vch.create()
    vch.ready(timeout=START)
    module_kube.apply(make_pod("talker", NAME, make_container(script=f"echo spoken; {FOREVER}")))
    module_kube.until("pod", "talker", ready, timeout=START)
    yield vch
    vch.delete()


def system(kube: Kube, kind: str, name: str = SERVICE) -> KubeObject:
    found = kube.within(NAMESPACE).get(kind, name)
    assert found is not None, f"{kind} {name}"
    return found


def endpoint(kube: Kube) -> str:
    """Where the Service leads to now."""
    (found,) = system(kube, "endpointslice")["endpoints"]
    return str(found["addresses"][0])


def shown_certificate(lab: RunningLab, address: str) -> x509.Certificate:
    """What a client gets to see that trusts the cluster's CA, as the API server does."""
    trusted = ssl.create_default_context(cafile=str(lab.laboratory.cluster.kubelet_client_ca()))
    with (
        socket.create_connection((address, PORT), timeout=20) as raw,
        trusted.wrap_socket(raw, server_hostname=address) as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown)


def until_reached(lab: RunningLab, address: str, *, timeout: float = 30) -> x509.Certificate:
    """What is shown there, as soon as kube-proxy leads there: it collects changes for a second, and tells nobody."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return shown_certificate(lab, address)
        except OSError as error:
            if time.monotonic() > deadline:
                raise NeverHappened(f"nothing answers at {address} within {timeout} s: {error}") from error
            time.sleep(0.2)


def test_the_nodes_address_is_its_services(vch: OwnVCH) -> None:
    service = system(vch.kube, "service")
    assert vch.kube.node_address(NAME) == service["spec"]["clusterIP"]
    assert endpoint(vch.kube) == POD_IPS["operator"]
    assert "selector" not in service["spec"]
    said = vch.until("KubeletServing", "True", "Serving", says=f"https://{service['spec']['clusterIP']}:{PORT}")
    assert f"{NAMESPACE}/{SERVICE}" in said


def test_its_certificate_is_the_clusters(vch: OwnVCH, lab: RunningLab) -> None:
    address = vch.kube.node_address(NAME)
    certificate = shown_certificate(lab, address)
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert name.value == f"system:node:{NAME}"
    requests = [
        each
        for each in vch.kube.objects("certificatesigningrequests")
        if each["spec"]["username"] == f"system:node:{NAME}"
    ]
    assert requests
    assert all(each["spec"]["signerName"] == "kubernetes.io/kubelet-serving" for each in requests)
    assert all(each["status"].get("certificate") for each in requests)


def test_logs_and_exec_go_through_the_api_server(vch: OwnVCH) -> None:
    assert vch.kube.text("logs", "talker") == "spoken\n"
    assert vch.kube.text("exec", "talker", "--", "echo", "from inside") == "from inside\n"
    assert vch.kube.run("exec", "-i", "talker", "--", "cat", stdin="back and forth").stdout == b"back and forth"


def test_a_pod_does_not_reach_its_nodes_kubelet_api(vch: OwnVCH) -> None:
    address = vch.kube.node_address(NAME)
    with socket.create_connection((address, PORT), timeout=10):
        pass  # it is there
    opened = Seat(vch.kube, "talker").run(f"timeout 5 nc {address} {PORT} </dev/null && echo open", check=False)
    assert "open" not in opened


def test_one_replica_serves_several_such_nodes(vch: OwnVCH, lab: RunningLab) -> None:
    other = OwnVCH(
        lab, vch.kube, "behind-another", None, guests="10.77.0.206-10.77.0.230", pods="10.78.0.206-10.78.0.230"
    )
    other.create(parents={"prewarm": False})
    try:
        other.until("KubeletServing", "True", "Serving")
        addresses = [vch.kube.node_address(NAME), vch.kube.node_address(other.name)]
        names = [until_reached(lab, address).subject.rfc4514_string() for address in addresses]
        assert [f"system:node:{each.name}" in name for each, name in zip((vch, other), names, strict=True)] == [
            True
        ] * 2
    finally:
        other.delete()
    vch.kube.within(NAMESPACE).gone("service", "vch-behind-another", timeout=START)


def test_what_is_deleted_or_changed_is_put_right(vch: OwnVCH, lab: RunningLab) -> None:
    kube, address = vch.kube.within(NAMESPACE), vch.kube.node_address(NAME)
    before = system(vch.kube, "service")["metadata"]["uid"]
    kube.delete("service", SERVICE)
    kube.until("service", SERVICE, lambda found: bool(found["metadata"]["uid"] != before), timeout=30)
    assert system(vch.kube, "service")["spec"]["clusterIP"] == address
    wrong = '[{"op": "replace", "path": "/endpoints/0/addresses/0", "value": "10.77.0.99"}]'
    kube.run("patch", "endpointslice", SERVICE, "--type=json", f"--patch={wrong}")
    own = POD_IPS["operator"]
    kube.until("endpointslice", SERVICE, lambda found: bool(found["endpoints"][0]["addresses"] == [own]), timeout=30)
    until_reached(lab, address)
    assert vch.kube.text("logs", "talker") == "spoken\n"


def test_another_replica_takes_it_over_and_the_address_stays(vch: OwnVCH, lab: RunningLab) -> None:
    kube, address = vch.kube, vch.kube.node_address(NAME)
    with replicas.two(lab, kube) as running:
        running.until_held_by({"left", "right"}, (NAME,), timeout=TAKEOVER)
        place = running.place_of(NAME)
        other = {"left": "right", "right": "left"}[place]
        first = _serves(lab, kube, place)
        running.kill(place)
        running.until_held_by({other}, (NAME,), timeout=TAKEOVER + 5)
        second = _serves(lab, kube, other)
        assert kube.node_address(NAME) == address
        assert first.public_key() != second.public_key(), "a key never leaves its process"


def _serves(lab: RunningLab, kube: Kube, place: str) -> x509.Certificate:
    """What the replica in this place shows, as soon as the Service leads to it; logs and exec work then."""
    own = POD_IPS[f"operator-{place}"]
    kube.within(NAMESPACE).until(
        "endpointslice", SERVICE, lambda found: bool(found["endpoints"][0]["addresses"] == [own]), timeout=START
    )
    certificate = until_reached(lab, kube.node_address(NAME))
    assert kube.text("logs", "talker") == "spoken\n"
    assert kube.text("exec", "talker", "--", "echo", "here") == "here\n"
    return certificate
