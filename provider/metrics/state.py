"""What just is, of each virtual node of this process: asked for when Prometheus scrapes, kept nowhere.

A scrape is served in a thread. It hops to the event loop once, for the facts (counts over what the loop has in memory
anyway); making families and text of them stays in the thread. A loop that hangs costs these series, not the scrape.
The neighbour `families` has what is counted as it happens.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from provider.metrics import vcenter

WITHIN = 3.0
"""Seconds that a scrape waits for the event loop; Prometheus waits for ten."""

STATUSES = ("True", "False", "Unknown")

Amounts = Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One virtual node's. What is not known is left out."""

    vch: str
    node: str
    server: str  # of vCenter, as the VCH's spec has it
    vcenter_version: str = ""
    vcenter_up: bool = False
    conditions: Mapping[str, str] = field(default_factory=dict)  # type → status
    pods: Mapping[str, int] = field(default_factory=dict)  # by phase
    vms: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by role and power state
    parents: Mapping[tuple[str, str, str], int] = field(default_factory=dict)  # by class, image, desired or ready
    standby: Mapping[str, int] = field(default_factory=dict)  # desired, ready
    dangling: int | None = None
    capacity: Amounts = field(default_factory=dict)  # by resource and unit
    allocatable: Amounts = field(default_factory=dict)
    requested: Amounts = field(default_factory=dict)
    memory: Mapping[tuple[str, str], int] = field(default_factory=dict)  # bytes by role and kind
    guests: int | None = None  # of Pods, whose agent is connected
    certificate_expires: float | None = None  # unix seconds


_Labels = TypeVar("_Labels", bound=tuple[str, ...])
Source = Callable[[], NodeFacts]

_sources: dict[str, tuple[str, Source]] = {}  # by VCH: vCenter, facts


@contextlib.contextmanager
def shown(vch: str, server: str, source: Source) -> Iterator[None]:
    """A virtual node runs in this process."""
    mine = (server, source)
    _sources[vch] = mine
    try:
        yield
    finally:
        if _sources.get(vch) is mine:
            del _sources[vch]
        if not any(other == server for other, _ in _sources.values()):
            vcenter.gone(server)


def count() -> int:
    """How many virtual nodes run in this process."""
    return len(_sources)


async def _all_facts() -> list[NodeFacts]:
    return [source() for _, source in _sources.values()]


class StateCollector(Collector):
    """Made in the event loop, asked by any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def describe(self) -> Sequence[Metric]:
        """The names, so that registering asks for nothing."""
        return list(_families(()))

    def collect(self) -> Iterator[Metric]:
        """Nothing if the loop does not answer in time, or has ended."""
        asking = _all_facts()
        try:
            facts = asyncio.run_coroutine_threadsafe(asking, self._loop).result(WITHIN)
        except (RuntimeError, TimeoutError, CancelledError):
            asking.close()
            return
        yield from _families(facts)


def _families(nodes: Sequence[NodeFacts]) -> Iterator[Metric]:
    """One family each; the samples of all nodes."""
    yield from _of_nodes(nodes)
    yield from _of_vms(nodes)
    yield from _of_resources(nodes)
    up = GaugeMetricFamily(
        "vch_vcenter_up", "Whether a virtual node of this replica is connected to that vCenter.", labels=["server"]
    )
    for server in {each.server for each in nodes}:
        up.add_metric([server], any(each.vcenter_up for each in nodes if each.server == server))
    yield up


def _of_nodes(nodes: Sequence[NodeFacts]) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "vch_info", "Always 1: a VCH and what it stands on.", labels=["vch", "node", "server", "vcenter_version"]
    )
    conditions = GaugeMetricFamily(
        "vch_status_condition",
        "A VCH's conditions: 1 for the status that the condition has, 0 for the others.",
        labels=["vch", "condition", "status"],
    )
    pods = GaugeMetricFamily("vch_pods", "Pods bound to the virtual node.", labels=["vch", "phase"])
    guests = GaugeMetricFamily("vch_guest_agents_connected", "Pods' guests whose agent is connected.", labels=["vch"])
    certificate = GaugeMetricFamily(
        "vch_serving_certificate_expiration_timestamp_seconds",
        "When the certificate of the kubelet API expires.",
        labels=["vch"],
    )
    for each in nodes:
        info.add_metric([each.vch, each.node, each.server, each.vcenter_version], 1)
        for condition, status in each.conditions.items():
            for one in STATUSES:
                conditions.add_metric([each.vch, condition, one], status == one)
        _add(pods, each.vch, {(phase,): count for phase, count in each.pods.items()})
        _add_known(guests, each.vch, each.guests)
        _add_known(certificate, each.vch, each.certificate_expires)
    yield from (info, conditions, pods, guests, certificate)


def _of_vms(nodes: Sequence[NodeFacts]) -> Iterator[Metric]:
    vms = GaugeMetricFamily(
        "vch_virtual_machines", "VMs of the VCH in vCenter's inventory.", labels=["vch", "role", "power_state"]
    )
    parents = GaugeMetricFamily(
        "vch_parents",
        "Parents that are wanted on usable hosts (desired), and those of them that can be cloned now (ready).",
        labels=["vch", "class", "image", "state"],
    )
    standby = GaugeMetricFamily(
        "vch_standby_clones",
        "Standby clones that are wanted (desired), and those that a Pod could get now (ready).",
        labels=["vch", "state"],
    )
    dangling = GaugeMetricFamily(
        "vch_dangling_virtual_machines", "Pod VMs that no Pod stands behind, as of the last look.", labels=["vch"]
    )
    memory = GaugeMetricFamily(
        "vch_virtual_machine_memory_bytes",
        "Memory of the VCH's VMs as vCenter shows it, at most some minutes old. granted: shared and private; shared "
        "counts for each VM what it shares with others; consumed: what the hosts have spent.",
        labels=["vch", "role", "kind"],
    )
    for each in nodes:
        _add(vms, each.vch, each.vms)
        _add(parents, each.vch, each.parents)
        _add(standby, each.vch, {(state,): count for state, count in each.standby.items()})
        _add_known(dangling, each.vch, each.dangling)
        _add(memory, each.vch, each.memory)
    yield from (vms, parents, standby, dangling, memory)


def _of_resources(nodes: Sequence[NodeFacts]) -> Iterator[Metric]:
    texts = {
        "capacity": "What the virtual node has.",
        "allocatable": "What of it Pods can have.",
        "requested": "What Pods that have not ended have been granted.",
    }
    for name, text in texts.items():
        family = GaugeMetricFamily(f"vch_resource_{name}", text, labels=["vch", "resource", "unit"])
        for each in nodes:
            amounts = {"capacity": each.capacity, "allocatable": each.allocatable, "requested": each.requested}
            _add(family, each.vch, amounts[name])
        yield family


def _add(family: GaugeMetricFamily, vch: str, values: Mapping[_Labels, float]) -> None:
    for labels, value in values.items():
        family.add_metric([vch, *labels], value)


def _add_known(family: GaugeMetricFamily, vch: str, value: float | None) -> None:
    if value is not None:
        family.add_metric([vch], value)
