"""Dashboards and alerts read only series that exist: of the operator, or of kubelets."""

import asyncio

import prometheus_client
import pytest
from prometheus_client import Metric

import provider.metrics
from e2e.lab import mixin, queries

ASKED = [
    *queries.of_alerts(),
    *(query for path in queries.DASHBOARDS for query in queries.of_dashboard(queries.dashboard(path))),
]
KUBELETS = {read.name for read in mixin.READ}


def series(family: Metric) -> set[str]:
    match family.type:
        case "counter":
            return {f"{family.name}_total"}
        case "histogram":
            return {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
        case _:
            return {family.name}


@pytest.fixture(name="ours", scope="module")
def _ours() -> set[str]:
    """What the operator's /metrics can have."""
    loop = asyncio.new_event_loop()
    try:
        state = provider.metrics.state.StateCollector(loop).describe()
    finally:
        loop.close()
    return {name for family in (*prometheus_client.REGISTRY.collect(), *state) for name in series(family)}


@pytest.mark.parametrize("query", ASKED, ids=[query.where for query in ASKED])
def test_each_series_exists(query: queries.Query, ours: set[str]) -> None:
    for selector in queries.selectors(query.expression):
        of_kubelet = 'job="kubelet"' in selector.matchers or selector.name.startswith("container_")
        assert selector.name in (KUBELETS if of_kubelet else ours), str(selector)


def test_each_of_our_series_is_shown_or_alerted_on(ours: set[str]) -> None:
    read = {selector.name for query in ASKED for selector in queries.selectors(query.expression)}
    families = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in ours}
    shown = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in read}
    assert {name for name in families if name.startswith("vch_")} - shown == set()
