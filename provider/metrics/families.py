"""Families of series that events make, and the end of those whose VCH or vCenter this replica has nothing to do with.

The neighbour `state` has what is asked for instead of counted.
"""

from collections.abc import Sequence
from typing import TypeVar

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

_Family = TypeVar("_Family", bound=MetricWrapperBase)

SUCCESS, ERROR = "success", "error"
"""The values of every label `result` that says whether something worked."""

FROM_MILLISECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds, for answers."""

FROM_TENTHS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds, for what VMs do: from a warm clone on idle hardware to an emulated guest on a busy machine."""

# Series beside each counter and histogram that the text format has no use for.
disable_created_metrics()  # type: ignore[no-untyped-call]

_known: list[tuple[MetricWrapperBase, frozenset[str]]] = []


def counter(name: str, text: str, *labels: str, registry: CollectorRegistry = REGISTRY) -> Counter:
    """`name` ends with `_total`."""
    return _keep(Counter(name, text, labels, registry=registry), labels)


def gauge(name: str, text: str, *labels: str, registry: CollectorRegistry = REGISTRY) -> Gauge:
    return _keep(Gauge(name, text, labels, registry=registry), labels)


def histogram(
    name: str, text: str, buckets: Sequence[float], *labels: str, registry: CollectorRegistry = REGISTRY
) -> Histogram:
    return _keep(Histogram(name, text, labels, buckets=buckets, registry=registry), labels)


def forget(label: str, value: str, *but: MetricWrapperBase) -> None:
    """Every series with that label goes, except those of the families `but`."""
    for family, labels in _known:
        if label in labels and family not in but:
            family.remove_by_labels({label: value})


def _keep(family: _Family, labels: Sequence[str]) -> _Family:
    _known.append((family, frozenset(labels)))
    return family
