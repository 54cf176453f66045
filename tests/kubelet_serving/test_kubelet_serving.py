"""Where a virtual node's kubelet API is served: the Service's address, the replica's endpoint, and what is said."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trustme

from provider import errors, kubelet_serving
from provider.api.conditions import ConditionStatus, ConditionType
from provider.clock import SystemClock
from provider.kubelet.certificate import KeyPair
from provider.kubelet.node_series import Machine
from provider.kubelet_serving import KubeletServing
from provider.vch_status import VCHStatus
from tests.kubelet.conftest import pair_of
from tests.kubelet_serving.cluster import REQUESTS, FakeCluster

VCH = {"apiVersion": "vch.dev/v1alpha1", "kind": "VirtualContainerHost", "metadata": {"name": "a", "uid": "u-1"}}
OWN = "127.0.0.1"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubelet_serving, "_SETTLE", 0.0)
    monkeypatch.setattr(kubelet_serving, "_LONGEST_RETRY", 0.05)
    monkeypatch.setattr(kubelet_serving, "_PATIENCE", 0.05)


class NoGuests:
    """`kubelet.directory.GuestDirectory`."""

    def find(self, namespace: str, name: str, uid: str | None) -> None:
        return None

    def pods(self) -> list:
        return []

    def endpoints(self) -> list:
        return []


class Served:
    """One replica's serving of the node `a`, and what it has said."""

    def __init__(
        self,
        cluster: FakeCluster,
        *,
        address: str | None = None,
        pod_ip: str = OWN,
        files: tuple[Path, Path] | None = None,
        port: int = 10250,
    ) -> None:
        self.status = VCHStatus.of_object({})
        self.addresses: list[str] = []
        self.reasons: list[str] = []
        self._news = asyncio.Event()
        process = SimpleNamespace(
            client=cluster,
            objects=SimpleNamespace(namespace="vch-system"),
            clock=SystemClock(),
            kubelet_certificate=files,
            kubelet_client_ca=None,
            kubelet_port=port,
            pod_ip=pod_ip,
        )
        guests = NoGuests()
        self.serving = KubeletServing(
            cast("Any", process), VCH, address, guests, Machine, self._change, self.addresses.append
        )

    def _change(self, change: Callable[[VCHStatus], VCHStatus]) -> None:
        self.status = change(self.status)
        self.reasons.append(self.status.get(ConditionType.KUBELET_SERVING).reason)
        self._news.set()

    async def until(self, reason: str, words: str = "") -> str:
        """The message of KubeletServing as soon as it has this reason and these words."""
        async with asyncio.timeout(10):
            while True:
                self._news.clear()
                found = self.status.get(ConditionType.KUBELET_SERVING)
                if found.reason == reason and words in found.message:
                    assert (found.status is ConditionStatus.TRUE) == (reason == "Serving")
                    return found.message
                await self._news.wait()


@contextlib.asynccontextmanager
async def run(served: Served) -> AsyncIterator[Served]:
    task = asyncio.create_task(served.serving.run())
    try:
        yield served
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def cluster() -> FakeCluster:
    return FakeCluster()


async def answer(cluster: FakeCluster, port: int, name: str) -> bytes:
    """What is said to nobody, by a server whose certificate is good for this address."""
    trusted = ssl.create_default_context()
    cluster.ca.configure_trust(trusted)
    reader, writer = await asyncio.open_connection(OWN, port, ssl=trusted, server_hostname=name)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n")
    told = await reader.read()
    writer.close()
    return told


async def test_a_node_is_served_behind_its_service_with_a_certificate_for_its_address(cluster: FakeCluster) -> None:
    async with run(Served(cluster)) as served:
        message = await served.until("Serving")
        address, (own, port) = cluster.service()["spec"]["clusterIP"], cluster.endpoint()
        assert (served.addresses, own) == ([address], OWN)
        assert (f"https://{address}:10250" in message, f"{OWN}:{port}" in message) == (True, True)
        assert (await answer(cluster, port, address)).startswith(b"HTTP/1.1 401")
        assert served.serving.certificate_expires is not None


async def test_two_nodes_of_one_replica_have_a_port_each(cluster: FakeCluster) -> None:
    async with run(Served(cluster)) as one:
        await one.until("Serving")
        first = cluster.endpoint()
        async with run(Served(cluster)) as two:
            await two.until("Serving")
            assert cluster.endpoint() != first


async def test_the_address_stays_when_another_replica_serves(cluster: FakeCluster) -> None:
    async with run(Served(cluster)) as one:
        await one.until("Serving")
        before = cluster.endpoint()
    async with run(Served(cluster, pod_ip="127.0.0.2")) as two:
        await two.until("Serving")
        assert two.addresses == one.addresses
        assert (before[0], cluster.endpoint()[0]) == (OWN, "127.0.0.2")


async def test_who_has_lost_the_lease_does_not_lead_the_service_to_himself(cluster: FakeCluster) -> None:
    async with run(Served(cluster)) as one:
        await one.until("Serving")
        cluster.fenced.set()
        written, other = len(cluster.written), cluster.objects["endpointslices", "vch-a"]
        cluster.change("endpointslices", "vch-a", {**other, "endpoints": [{"addresses": ["10.1.1.1"]}]})
        await one.until("LeaseLost")
        assert (cluster.endpoint()[0], len(cluster.written)) == ("10.1.1.1", written)


async def test_what_somebody_deletes_or_changes_is_put_right_with_the_same_address(cluster: FakeCluster) -> None:
    async with run(Served(cluster)) as served:
        await served.until("Serving")
        address, endpoint = cluster.service()["spec"]["clusterIP"], cluster.endpoint()
        for plural, thing in (("services", None), ("endpointslices", None)):
            cluster.change(plural, "vch-a", thing)
            await cluster.until_there(plural, "vch-a")
        assert (cluster.service()["spec"]["clusterIP"], cluster.endpoint()) == (address, endpoint)


async def test_an_address_that_is_somebody_elses_now_is_told_and_taken_back_when_it_is_free(
    cluster: FakeCluster,
) -> None:
    async with run(Served(cluster)) as served:
        await served.until("Serving")
        address = cluster.service()["spec"]["clusterIP"]
        cluster.taken = {address}
        cluster.change("services", "vch-a", None)
        assert "Delete the Service that has the address" in await served.until("ServiceUnusable", address)
        cluster.taken = set()
        await served.until("Serving")
        assert cluster.service()["spec"]["clusterIP"] == address


async def test_after_a_restart_a_deleted_service_gets_the_address_that_the_node_has(cluster: FakeCluster) -> None:
    cluster.node = {"status": {"addresses": [{"type": "InternalIP", "address": "10.96.0.77"}]}}
    async with run(Served(cluster)) as served:
        await served.until("Serving", "10.96.0.77")
    cluster.change("services", "vch-a", None)
    cluster.taken = {"10.96.0.77"}
    async with run(Served(cluster)) as served:
        await served.until("Serving")
        assert served.addresses == [cluster.service()["spec"]["clusterIP"]] != ["10.96.0.77"]


async def test_without_the_pods_address_the_remedy_is_told(cluster: FakeCluster) -> None:
    async with run(Served(cluster, pod_ip="")) as served:
        assert "status.podIP" in await served.until("PodAddressUnknown", "VCH_POD_IP")
        assert served.addresses == [cluster.service()["spec"]["clusterIP"]], "Pods can be looked after all the same"
        assert ("endpointslices", "vch-a") not in cluster.objects


async def test_a_certificate_that_is_waited_for_is_told_and_nothing_is_served_until_then(cluster: FakeCluster) -> None:
    cluster.signs.clear()
    async with run(Served(cluster)) as served:
        assert "--cluster-signing-cert-file" in await served.until("CertificatePending")
        assert ("endpointslices", "vch-a") not in cluster.objects
        cluster.signs.set()
        await served.until("Serving")


class Source:
    """`kubelet.certificates.Certificates`: gives, or raises, what it is given."""

    def __init__(self) -> None:
        self.given: asyncio.Queue[KeyPair | errors.ProviderError] = asyncio.Queue()

    async def next(self) -> KeyPair:
        given = await self.given.get()
        self.given.task_done()
        if isinstance(given, errors.ProviderError):
            raise given
        return given


async def test_a_renewal_that_fails_is_no_news_while_the_certificate_holds(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source()
    monkeypatch.setattr(kubelet_serving, "Issued", lambda *_: source)
    first, second = (pair_of(cluster.ca.issue_cert(name)) for name in ("first.example", "second.example"))
    source.given.put_nowait(first)
    async with run(Served(cluster)) as served:
        await served.until("Serving")
        source.given.put_nowait(errors.CertificateRefused("not now"))
        source.given.put_nowait(second)
        await source.given.join()
        await served.until("Serving")
        assert (await answer(cluster, cluster.endpoint()[1], "second.example")).startswith(b"HTTP/1.1 401")
        assert "CertificateRefused" not in served.reasons


async def test_with_an_address_of_the_machine_there_is_no_service(cluster: FakeCluster) -> None:
    async with run(Served(cluster, address=OWN, port=0)) as served:
        await served.until("Serving", f"https://{OWN}")
        assert served.addresses == [OWN]
        assert {plural for plural, _ in cluster.objects} == {REQUESTS}


async def test_an_address_that_is_not_the_machines_is_told(cluster: FakeCluster) -> None:
    async with run(Served(cluster, address="192.0.2.1")) as served:
        await served.until("AddressNotServed", "spec.node.address: cannot listen on 192.0.2.1:10250")


async def test_given_files_are_used_and_nobody_is_asked(cluster: FakeCluster, tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    issued = cluster.ca.issue_cert("kubelets.example")
    certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    key.write_bytes(issued.private_key_pem.bytes())
    async with run(Served(cluster, files=(certificate, key))) as served:
        await served.until("Serving")
        assert (await answer(cluster, cluster.endpoint()[1], "kubelets.example")).startswith(b"HTTP/1.1 401")
    assert not [each for each in cluster.written if REQUESTS in each]


async def test_files_that_are_no_pair_are_told_until_they_are(cluster: FakeCluster, tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    one, two = cluster.ca.issue_cert("kubelets.example"), trustme.CA().issue_cert("x")
    certificate.write_bytes(one.cert_chain_pems[0].bytes())
    key.write_bytes(two.private_key_pem.bytes())
    async with run(Served(cluster, files=(certificate, key))) as served:
        await served.until("CertificateUnusable", "--kubelet-key")
        key.write_bytes(one.private_key_pem.bytes())
        await served.until("Serving")
