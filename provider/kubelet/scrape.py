"""Node-wide answers: the guests are asked side by side within a time limit, and what they say is put together.

Below Prometheus' and metrics-server's ten seconds whatever guests do: one that does not answer is left out, and the
answer says so where the format has a word for it (`resource_scrape_error`, `container_scrape_error`). Texts are read in
threads, since a few hundred guests' are tens of megabytes. What is said is decided by the neighbours `exposition`,
`pod_series`, `node_series`, `node_totals` and `merge`.
"""

import asyncio
import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from prometheus_client import REGISTRY, generate_latest

from provider.errors import GuestError
from provider.feed import KubeObject
from provider.kubelet import exposition, merge, node_series, pod_series
from provider.kubelet.directory import GuestDirectory, GuestEndpoint
from provider.kubelet.exposition import Said
from provider.kubelet.fetch import fetch
from provider.kubelet.node_series import Lines, Machine
from provider.kubelet.node_totals import NodeTotals
from provider.kubelet.routes import Action

log = structlog.get_logger()

WITHIN = 8.0
"""Seconds for all guests together."""

_AT_ONCE = 64
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_JSON = "application/json"
_CORE = "usageCoreNanoSeconds"
_NODE_CPU, _POD_CPU = "node_cpu_usage_seconds_total", "pod_cpu_usage_seconds_total"
_OURS_FAMILIES = (
    *("process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes"),
    *("process_start_time_seconds", "process_open_fds", "process_max_fds", "rest_client_requests_total"),
)


_Said = TypeVar("_Said")


@dataclass(frozen=True, slots=True)
class Heard(Generic[_Said]):
    """A guest's answer, read."""

    pod: KubeObject
    asked: float  # a monotonic instant
    said: _Said


class Scrape:
    """Of one virtual node. `machine`: what it is as a machine, now."""

    def __init__(self, node: str, guests: GuestDirectory, machine: Callable[[], Machine] = Machine) -> None:
        self._node = node
        self._guests = guests
        self._machine = machine
        began = time.time()
        self._kubelet, self._resource, self._summary = NodeTotals(began), NodeTotals(began), NodeTotals(began)

    async def answer(self, action: Action) -> tuple[str, bytes]:
        """Content type and body."""
        match action:
            case Action.SUMMARY:
                return _JSON, await self._stats()
            case Action.METRICS:
                return _TEXT, await self._metrics()
            case Action.METRICS_RESOURCE:
                return _TEXT, await self._resources()
            case Action.METRICS_CADVISOR:
                heard, complete = await self._hear(f"/{action}", _reader("container_"))
                return _TEXT, await _merge(heard, node_series.cadvisor(self._machine(), complete=complete))
        heard, _ = await self._hear(f"/{action}", _reader("prober_"))
        return _TEXT, await _merge(heard, {})

    async def _resources(self) -> bytes:
        reader = _reader("container_", "pod_", "resource_", summed=node_series.RESOURCE_SUMMED)
        heard, complete = await self._hear(f"/{Action.METRICS_RESOURCE}", reader)
        for each in heard:
            pods = [exposition.value_of(line) for line in each.said.samples.get(_POD_CPU, ())]
            # A clone is born with its parent's counters: of what it had used before it was first asked, the Pod's part.
            _add(self._resource, each, each.said.sums, {_NODE_CPU: sum(pods)})
            pod_series.without_incomplete(each.said)
        self._resource.keep(self._uids())
        return await _merge(heard, node_series.resource(self._resource, self._machine(), complete=complete))

    async def _metrics(self) -> bytes:
        heard, _ = await self._hear(f"/{Action.METRICS}", _reader(summed=node_series.KUBELET_SUMMED))
        for each in heard:
            _add(self._kubelet, each, each.said.sums)
        self._kubelet.keep(self._uids())
        text = await _merge(heard, node_series.kubelet(self._node, self._kubelet, self._machine(), time.time()))
        return text + await asyncio.to_thread(_of_process)

    async def _stats(self) -> bytes:
        heard, _ = await self._hear("/stats/summary", lambda _, text: merge.parsed(text))
        for each in heard:
            of_node, of_pod = merge.core_nanoseconds(each.said, each.pod)
            _add(self._summary, each, {_CORE: of_node}, {_CORE: of_pod})
        self._summary.keep(self._uids())
        machine, now = self._machine(), datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        beside = merge.Beside(self._summary.counter(_CORE) + machine.cpu_seconds * 1e9, machine.memory_used)
        answers = [(each.pod, each.said) for each in heard]
        return await asyncio.to_thread(merge.summary, self._node, answers, now, beside)

    def _uids(self) -> set[str]:
        return {each.pod["metadata"]["uid"] for each in self._guests.endpoints()}

    async def _hear(self, target: str, read: Callable[[KubeObject, bytes], _Said]) -> tuple[list[Heard[_Said]], bool]:
        """What the guests answer, and whether all did; one that does not must not break the rest. Each text is read
        when it comes, and not kept."""
        at_once, heard = asyncio.Semaphore(_AT_ONCE), list[Heard[_Said]]()

        async def ask(endpoint: GuestEndpoint) -> None:
            async with at_once:
                asked = time.monotonic()
                try:
                    text = await fetch(endpoint, target)
                    said = await asyncio.to_thread(read, endpoint.pod, text)
                    heard.append(Heard(endpoint.pod, asked, said))
                except GuestError as error:
                    log.info("guest is left out of a node-wide answer", target=target, error=str(error))

        endpoints = self._guests.endpoints()
        tasks = [asyncio.create_task(ask(each)) for each in endpoints if each.connected]
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=WITHIN)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        complete = len(heard) == len(endpoints)
        if not complete:
            log.warning(
                "node-wide answer without some guests", target=target, guests=len(endpoints), answered=len(heard)
            )
        return sorted(heard, key=lambda each: _name(each.pod)), complete


def _reader(*prefixes: str, summed: frozenset[str] = frozenset()) -> Callable[[KubeObject, bytes], Said]:
    def read(pod: KubeObject, text: bytes) -> Said:
        return exposition.read(pod, text, prefixes, summed, pod_series.claims(pod) if summed else ())

    return read


async def _merge(heard: Sequence[Heard[Said]], of_node: Lines) -> bytes:
    return await asyncio.to_thread(exposition.merge, [each.said for each in heard], of_node)


def _add(
    totals: NodeTotals, guest: Heard[Any], values: dict[str, float], firsts: dict[str, float] | None = None
) -> None:
    metadata = guest.pod["metadata"]
    created = datetime.datetime.fromisoformat(metadata["creationTimestamp"]).timestamp()
    totals.add(metadata["uid"], created, guest.asked, values, firsts)


def _of_process() -> bytes:
    """This process' own, which serves the node as a kubelet does."""
    return generate_latest(REGISTRY.restricted_registry(_OURS_FAMILIES))


def _name(pod: KubeObject) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]
