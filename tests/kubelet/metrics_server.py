"""The rules by which metrics-server reads /metrics/resource, and drops silently (its pkg/scraper/client/resource).

Written anew from what its decoder does; where it searches raw bytes, so does this.
"""

import re
from dataclasses import dataclass, field

_SERIES = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)(?: (-?\d+))?")


@dataclass
class Point:
    cpu_nanoseconds: int = 0
    memory_bytes: int = 0
    start: float = 0.0
    at: int = 0


@dataclass
class Batch:
    """What it would store."""

    node: Point | None = None
    pods: dict[tuple[str, str], dict[str, Point]] = field(default_factory=dict)


def decode(text: str, now: int = 1) -> Batch:
    """Raises ValueError where its parser would refuse the whole answer."""
    node, pods = Point(), dict[tuple[str, str], dict[str, Point]]()
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _SERIES.fullmatch(line)
        if match is None:
            raise ValueError(line)
        name, labels, value, at = match[1], match[2] or "", float(match[3]), int(match[4] or now)
        if name == "node_cpu_usage_seconds_total":
            node.cpu_nanoseconds, node.at = int(value * 1e9), at
        elif name == "node_memory_working_set_bytes":
            node.memory_bytes, node.at = int(value), at
        elif name in _CONTAINERS:
            container = pods.setdefault((_tag(labels, "namespace"), _tag(labels, "pod")), {})
            point = container.setdefault(_tag(labels, "container"), Point())
            if name == "container_start_time_seconds":
                point.start = value
            elif name == "container_cpu_usage_seconds_total":
                point.cpu_nanoseconds, point.at = int(value * 1e9), at
            else:
                point.memory_bytes, point.at = int(value), at
    batch = Batch(node if node.at and node.cpu_nanoseconds and node.memory_bytes else None)
    for pod, containers in pods.items():
        told = {name: point for name, point in containers.items() if point != Point()}
        if told and all(point.cpu_nanoseconds and point.memory_bytes for point in told.values()):
            batch.pods[pod] = told
    return batch


_CONTAINERS = (
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "container_start_time_seconds",
)


def _tag(labels: str, name: str) -> str:
    """The first `name="`, wherever it stands: also at the end of a longer label's name."""
    start = labels.index(f'{name}="') + len(name) + 2
    return labels[start : labels.index('"', start)]
