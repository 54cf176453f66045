"""What it costs to answer for a node of many Pods, with what a native guest's kubelet really said.

    python3 -m e2e.bench.merge_metrics [PODS]

Only the putting together is measured: fetching from guests and sending to the reader are not. The recorded answer is
given other Pods' names, so sizes and shapes are those of one kubelet of one version.
"""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from provider.kubelet import exposition, merge, node_series, pod_series
from provider.kubelet.exposition import Said
from provider.kubelet.node_totals import NodeTotals
from tests.kubelet.recordings import numbered_pod, text

ROUNDS = 3
Guests = list[tuple[dict[str, Any], bytes]]


def main() -> None:
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    for target, work in (
        ("/metrics/cadvisor", cadvisor),
        ("/metrics/resource", resource),
        ("/metrics", kubelet),
        ("/metrics/probes", probes),
        ("/stats/summary", summary),
    ):
        guests = [(pod := numbered_pod(number), text(target, pod)) for number in range(pods)]
        measure(target, guests, work)


def measure(target: str, guests: Guests, work: Callable[[Guests], bytes]) -> None:
    cpu, wall, answer = [], [], b""
    for _ in range(ROUNDS):
        began, used = time.perf_counter(), time.process_time()
        answer = work(guests)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    heard = sum(len(said) for _, said in guests)
    series = Counter(line.partition(b"{")[0] for line in answer.splitlines() if line[:1] not in (b"#", b"{"))
    print(
        f"{target}, {len(guests)} guests: {heard / 1e6:.1f} MB heard, {len(answer) / 1e6:.1f} MB said; "
        f"CPU {statistics.median(cpu):.2f} s, wall {statistics.median(wall):.2f} s (median of {ROUNDS}); "
        f"{series.total()} series of {len(series)} names"
    )


def cadvisor(guests: Guests) -> bytes:
    return exposition.merge(read(guests, ("container_",)), node_series.cadvisor(node_series.Machine(), complete=True))


def resource(guests: Guests) -> bytes:
    said = read(guests, ("container_", "pod_", "resource_"), node_series.RESOURCE_SUMMED)
    lines = node_series.resource(totals(guests, said), node_series.Machine(), complete=True)
    return exposition.merge([pod_series.without_incomplete(one) for one in said], lines)


def kubelet(guests: Guests) -> bytes:
    said = read(guests, (), node_series.KUBELET_SUMMED)
    return exposition.merge(said, node_series.kubelet("vch", totals(guests, said), node_series.Machine(), 0.0))


def probes(guests: Guests) -> bytes:
    return exposition.merge(read(guests, ("prober_",)))


def summary(guests: Guests) -> bytes:
    return merge.summary("vch", [(pod, merge.parsed(said)) for pod, said in guests], "2026-01-01T00:00:00Z")


def read(guests: Guests, prefixes: tuple[str, ...], summed: frozenset[str] = frozenset()) -> list[Said]:
    return [exposition.read(pod, said, prefixes, summed) for pod, said in guests]


def totals(guests: Guests, said: list[Said]) -> NodeTotals:
    found = NodeTotals(0.0)
    for (pod, _), one in zip(guests, said, strict=True):
        found.add(pod["metadata"]["uid"], 1.0, 1.0, one.sums)
    return found


if __name__ == "__main__":
    main()
