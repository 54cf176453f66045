"""Node-wide answers of many guests, with what a kubelet really says: as metrics-server and Prometheus read them."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from provider.errors import GuestUnreachable
from provider.kubelet import scrape
from provider.kubelet.directory import GuestEndpoint
from provider.kubelet.node_series import Machine
from provider.kubelet.routes import Action
from provider.kubelet.scrape import Scrape
from tests.kubelet.metrics_server import decode
from tests.kubelet.recordings import numbered_pod, text

MACHINE = Machine(
    cpu_cores=32.0,
    memory_bytes=2**36,
    cpu_seconds=1.5,
    memory_used=2**20,
    certificate_expires=2e9,
    orphans=0,
)


class Guests:
    """`GuestDirectory` of Pods like the recorded one; `answer` is what each says."""

    def __init__(self, count: int) -> None:
        self.list = [
            GuestEndpoint("", 0, "", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), fresh(number)) for number in range(count)
        ]
        self.change: Callable[[dict, bytes], bytes] = lambda pod, said: said
        self.silent: set[str] = set()
        self.hangs: set[str] = set()
        self.asked: list[str] = []

    def find(self, namespace: str, name: str, uid: str | None) -> GuestEndpoint | None:
        return None

    def pods(self) -> list[dict]:
        return [each.pod for each in self.list]

    def endpoints(self) -> list[GuestEndpoint]:
        return self.list

    async def fetch(self, endpoint: GuestEndpoint, target: str) -> bytes:
        name = endpoint.pod["metadata"]["name"]
        self.asked.append(name)
        if name in self.hangs:
            await asyncio.Event().wait()
        if name in self.silent:
            raise GuestUnreachable("silent")
        return self.change(endpoint.pod, text(target, endpoint.pod))


def fresh(number: int) -> dict:
    pod = numbered_pod(number)
    pod["metadata"]["creationTimestamp"] = "2999-01-01T00:00:00Z"
    return pod


@pytest.fixture(name="guests")
def _guests(monkeypatch: pytest.MonkeyPatch) -> Guests:
    guests = Guests(3)
    monkeypatch.setattr(scrape, "fetch", guests.fetch)
    return guests


@pytest.fixture(name="node")
def _node(guests: Guests) -> Scrape:
    return Scrape("vch", guests, lambda: MACHINE)


async def ask(node: Scrape, action: Action) -> str:
    kind, body = await node.answer(action)
    if action is not Action.SUMMARY:
        assert kind.startswith("text/plain; version=0.0.4")
    return body.decode()


def series(said: str) -> dict[tuple[str, frozenset], float]:
    """As a strict parser reads it; each series once."""
    found: dict[tuple[str, frozenset], float] = {}
    for family in text_string_to_metric_families(said):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(said: str, name: str, **labels: str) -> float:
    return series(said)[name, frozenset(labels.items())]


async def test_metrics_server_takes_the_node_and_all_pods(node: Scrape) -> None:
    batch = decode(await ask(node, Action.METRICS_RESOURCE))
    assert batch.node is not None
    assert {name for _, name in batch.pods} == {"recorded-0", "recorded-1", "recorded-2"}
    assert all(set(containers) == {"main"} for containers in batch.pods.values())
    assert all(point.start for containers in batch.pods.values() for point in containers.values())


async def test_a_node_without_pods_uses_something(node: Scrape, guests: Guests) -> None:
    guests.list.clear()
    batch = decode(await ask(node, Action.METRICS_RESOURCE))
    assert batch.node is not None
    assert (batch.node.cpu_nanoseconds, batch.node.memory_bytes) == (int(1.5e9), 2**20)
    summary = json.loads(await ask(node, Action.SUMMARY))["node"]
    assert summary["cpu"]["usageCoreNanoSeconds"] == int(1.5e9)
    assert summary["memory"]["workingSetBytes"] == 2**20


async def test_a_container_that_has_not_run_does_not_cost_its_pod(node: Scrape, guests: Guests) -> None:
    of = 'container="late",namespace="default",pod="recorded-1"'

    def with_late_one(pod: dict, said: bytes) -> bytes:
        late = (
            f"\ncontainer_cpu_usage_seconds_total{{{of}}} 0\ncontainer_memory_working_set_bytes{{{of}}} 4096"
            f"\ncontainer_start_time_seconds{{{of}}} 5\n"
        )
        return said + late.encode() if pod["metadata"]["name"] == "recorded-1" else said

    guests.change = with_late_one
    said = await ask(node, Action.METRICS_RESOURCE)
    assert "late" not in said
    assert ("default", "recorded-1") in decode(said).pods


async def test_the_nodes_cpu_does_not_fall_when_a_guest_is_silent_or_gone(node: Scrape, guests: Guests) -> None:
    seen = []
    for step in range(4):
        guests.change = lambda pod, said, step=step: said.replace(  # type: ignore[misc]
            b"node_cpu_usage_seconds_total 31183", b"node_cpu_usage_seconds_total 3118%d" % (3 + step)
        )
        if step == 2:
            guests.silent = {"recorded-0"}
        if step == 3:
            del guests.list[0]
        said = await ask(node, Action.METRICS_RESOURCE)
        seen.append(value(said, "node_cpu_usage_seconds_total"))
        assert value(said, "resource_scrape_error") == (step == 2)
    assert seen == sorted(seen)
    assert seen[1] - seen[0] == pytest.approx(3)
    assert seen[3] - seen[1] == pytest.approx(4)


async def test_guests_that_hang_cost_their_own_samples_only(
    node: Scrape, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape, "WITHIN", 0.2)
    guests.hangs = {"recorded-0"}
    said = await ask(node, Action.METRICS_CADVISOR)
    assert value(said, "container_scrape_error") == 1
    assert 'pod="recorded-0"' not in said
    assert 'pod="recorded-1"' in said


async def test_a_guest_that_is_known_to_be_away_is_not_waited_for(node: Scrape, guests: Guests) -> None:
    away = guests.list[0]
    guests.list[0] = GuestEndpoint("", 0, "", away.ssl_context, away.pod, connected=False)
    assert value(await ask(node, Action.METRICS_RESOURCE), "resource_scrape_error") == 1
    assert guests.asked == ["recorded-1", "recorded-2"]


CADVISOR = [
    *("container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_memory_rss"),
    *("container_memory_cache", "container_memory_swap", "container_memory_usage_bytes"),
    *("container_oom_events_total", "container_start_time_seconds"),
]


async def test_cadvisors_series_are_what_dashboards_select(node: Scrape) -> None:
    found = series(await ask(node, Action.METRICS_CADVISOR))
    for name in CADVISOR:
        of = [dict(labels) for of_name, labels in found if of_name == name]
        whole = {each["pod"] for each in of if each["container"] == "main" and each["image"]}
        assert whole == {"recorded-0", "recorded-1", "recorded-2"}, name
    for way in ("receive", "transmit"):
        for what in ("bytes", "packets", "packets_dropped", "errors"):
            name = f"container_network_{way}_{what}_total"
            of = [dict(labels) for of_name, labels in found if of_name == name]
            assert Counter((each["pod"], each["interface"]) for each in of) == Counter(
                {(f"recorded-{number}", "eth0"): 1 for number in range(3)}
            ), name
            assert all(each["image"] for each in of)
    assert all(dict(labels).get("pod") for name, labels in found if name.startswith("container_") and labels)
    assert not any(dict(labels).get("id") == "/" for _, labels in found)
    assert found["machine_cpu_cores", frozenset()] == 32
    assert found["machine_memory_bytes", frozenset()] == 2**36
    assert not any(name.startswith("machine_") for name, labels in found if labels)


async def test_what_kubelets_count_is_summed_bucket_by_bucket(node: Scrape) -> None:
    said = await ask(node, Action.METRICS)
    one = series(text("/metrics", fresh(0)).decode())
    found = series(said)
    summed = [
        *("kubelet_started_pods_total", "kubelet_running_pods", "kubelet_pleg_relist_duration_seconds_bucket"),
        *("kubelet_pod_worker_duration_seconds_count", "kubelet_runtime_operations_duration_seconds_sum"),
        *("kubelet_runtime_operations_total", "storage_operation_duration_seconds_bucket"),
    ]
    for name in summed:
        keys = [key for key in one if key[0] == name]
        assert keys
        for key in keys:
            assert found[key] == pytest.approx(3 * one[key]), key


async def test_the_node_says_who_it_is_and_nothing_that_it_is_not(node: Scrape) -> None:
    said = await ask(node, Action.METRICS)
    names = Counter(name for name, _ in series(said))
    assert value(said, "kubelet_node_name", node="vch") == 1
    assert names["kubelet_node_name"] == 1
    assert names["kubelet_certificate_manager_server_ttl_seconds"] == 1
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes"} <= names.keys()
    assert not any(name.startswith(("go_", "kubernetes_", "apiserver_")) for name in names)


async def test_a_family_stands_in_one_block(node: Scrape) -> None:
    for action in (Action.METRICS, Action.METRICS_CADVISOR, Action.METRICS_RESOURCE, Action.METRICS_PROBES):
        said = await ask(node, action)
        types = [line.split()[2] for line in said.splitlines() if line.startswith("# TYPE")]
        assert len(types) == len(set(types))


async def test_probes_name_their_pods(node: Scrape) -> None:
    found = series(await ask(node, Action.METRICS_PROBES))
    assert {dict(labels)["pod"] for name, labels in found if name == "prober_probe_total"} == {
        "recorded-0",
        "recorded-1",
        "recorded-2",
    }
    assert not any(name.startswith("process_") for name, _ in found)


async def test_the_summary_has_each_pod_and_the_nodes_cpu_does_not_fall(node: Scrape, guests: Guests) -> None:
    first = json.loads(await ask(node, Action.SUMMARY))
    assert {pod["podRef"]["uid"] for pod in first["pods"]} == {each.pod["metadata"]["uid"] for each in guests.list}
    del guests.list[0]
    second = json.loads(await ask(node, Action.SUMMARY))
    used = [said["node"]["cpu"]["usageCoreNanoSeconds"] for said in (first, second)]
    assert 0 < used[0] <= used[1]
