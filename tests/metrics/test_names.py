"""Names, types and labels are what dashboards were made for, and keep Prometheus' conventions (promlint's rules)."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY, Metric
from prometheus_client.metrics import MetricWrapperBase

from provider import metrics
from provider.metrics.families import _known as known
from provider.metrics.state import NodeFacts, StateCollector
from tests.metrics.table import TABLE

FACTS = NodeFacts(
    vch="v",
    node="v",
    server="vcenter.example",
    vcenter_version="8.0.3",
    vcenter_up=True,
    conditions={"Ready": "True"},
    pods={"Running": 1},
    vms={("pod", "poweredOn"): 1},
    parents={("small", "base", "ready"): 1},
    standby={"ready": 1},
    dangling=0,
    capacity={("cpu", "core"): 4},
    allocatable={("cpu", "core"): 3},
    requested={("cpu", "core"): 2},
    memory={("pod", "shared"): 1},
    guests=1,
    certificate_expires=2e9,
)


async def collected(*facts: NodeFacts) -> list[Metric]:
    """As a scrape does it: from another thread."""
    with metrics.state.shown("v", "vcenter.example", lambda: facts[0]):
        collector = StateCollector(asyncio.get_running_loop())
        return await asyncio.to_thread(lambda: list(collector.collect()))


def counted() -> Iterator[MetricWrapperBase]:
    for family, _ in known:
        yield family


def full_name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


async def test_every_family_is_in_the_table_and_the_other_way_round() -> None:
    state = {full_name(family): (family.type, labels(family)) for family in await collected(FACTS)}
    events = {
        full_name(described): (described.type, set(family._labelnames))
        for family in counted()
        for described in family.describe()
    }
    assert not state.keys() & events.keys()
    assert state | events == TABLE


def labels(family: Metric) -> set[str]:
    (names,) = {frozenset(sample.labels) for sample in family.samples}
    return set(names)


@pytest.mark.parametrize("name", TABLE)
def test_a_name_says_its_unit_and_its_type(name: str) -> None:
    kind, of = TABLE[name]
    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert name.endswith("_total") == (kind == "counter")
    assert kind != "histogram" or name.endswith("_seconds")
    assert not re.search(r"milli|_ms|_mib|_kb|_percent|_(count|sum|bucket|gauge|counter|histogram)$", name)
    assert not of & {"le", "quantile", "job", "instance", "pod", "namespace", "container", "uid"}
    assert all(re.fullmatch(r"[a-z_]+", label) for label in of)


async def test_every_family_has_a_help_of_its_own() -> None:
    families = [*await collected(FACTS), *(each for family in counted() for each in family.describe())]
    texts = [family.documentation for family in families]
    assert all(text.endswith((".", ")")) and len(text) > 15 for text in texts), texts
    assert len(set(texts)) == len(texts)


async def test_what_the_process_is_is_told_besides() -> None:
    names = {family.name for family in REGISTRY.collect()}
    assert {"process_cpu_seconds", "process_resident_memory_bytes", "python_info"} <= names


async def test_a_condition_has_one_series_for_each_status() -> None:
    (family,) = [each for each in await collected(FACTS) if each.name == "vch_status_condition"]
    assert {(s.labels["status"], s.value) for s in family.samples} == {("True", 1), ("False", 0), ("Unknown", 0)}


async def test_what_is_not_known_has_no_series() -> None:
    unknown = NodeFacts(vch="v", node="v", server="s")
    families = {each.name: each.samples for each in await collected(unknown)}
    assert {name for name, samples in families.items() if samples} == {"vch_info", "vch_vcenter_up"}
    assert families["vch_vcenter_up"][0].value == 0


async def test_two_virtual_nodes_of_one_vcenter_do_not_repeat_its_series() -> None:
    away = NodeFacts(vch="w", node="w", server="vcenter.example")
    with metrics.state.shown("w", "vcenter.example", lambda: away):
        families = {each.name: each.samples for each in await collected(FACTS)}
    assert [sample.value for sample in families["vch_vcenter_up"]] == [1]
    assert {sample.labels["vch"] for sample in families["vch_info"]} == {"v", "w"}


async def test_a_loop_that_has_ended_costs_its_series_and_not_the_scrape() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with metrics.state.shown("v", "s", lambda: FACTS):
        assert list(StateCollector(loop).collect()) == []


def series(label: str, value: str) -> set[str]:
    return {
        sample.name for family in REGISTRY.collect() for sample in family.samples if sample.labels.get(label) == value
    }


def test_with_a_lease_goes_what_was_counted_and_with_the_vch_the_lease() -> None:
    metrics.leases.stands("going")
    assert series("vch", "going") == {"vch_leases_held"}
    metrics.leases.moved("going", "acquired", held=True)
    metrics.vms.STANDBY.labels("going", "hit").inc()
    metrics.pods.ended("going", 1.0, by_guest=True)
    metrics.vms.STANDBY.labels("staying", "hit").inc()
    metrics.leases.moved("going", "lost", held=False)
    assert series("vch", "going") == {"vch_leases_held", "vch_lease_transitions_total"}
    metrics.leases.gone("going")
    assert series("vch", "going") == set()
    assert series("vch", "staying") == {"vch_standby_total"}


def test_with_the_last_virtual_node_of_a_vcenter_go_its_series() -> None:
    with metrics.state.shown("one", "shared", lambda: FACTS):
        with metrics.state.shown("two", "shared", lambda: FACTS):
            metrics.vcenter.called("shared", "Login", 0.1, "vim.fault.InvalidLogin")
            metrics.vcenter.updated("shared")
        assert "vch_vcenter_logins_total" in series("server", "shared")
    assert series("server", "shared") == set()
