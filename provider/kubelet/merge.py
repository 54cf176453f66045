"""One node-wide answer out of the answers of many guests. Pure.

A guest is believed for its own Pod only: samples and entries of another are dropped. What is of the node is summed up,
since a virtual node has no other machine than its guests'.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from provider.feed import KubeObject

_SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)(?: (?P<time>-?\d+))?$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_NODE_SUMMED = ("node_cpu_usage_seconds_total", "node_memory_working_set_bytes", "node_swap_usage_bytes")

Answer = tuple[KubeObject, bytes]
"""A guest's Pod, as the API server knows it, and what its kubelet answered."""


def pod_list(pods: Iterable[KubeObject]) -> bytes:
    """/pods: from the API server's point of view; guests have no say."""
    items = sorted(pods, key=lambda pod: (pod["metadata"].get("namespace", ""), pod["metadata"]["name"]))
    return json.dumps({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items}).encode()


def metrics(answers: Sequence[Answer]) -> bytes:
    """Prometheus text: samples of each guest's own Pod, node-wide ones summed, each family's header once.

    The classic text format (0.0.4), which metrics-server parses; it drops a node without `node_cpu_usage_seconds_total`
    and `node_memory_working_set_bytes`.
    """
    headers: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    sums: dict[str, float] = {}
    for pod, text in answers:
        family = ""
        for line in text.decode(errors="replace").splitlines():
            if line.startswith("#"):
                family = _header(line, headers)
            elif (match := _SAMPLE.match(line)) is not None:
                family_name = family if match["name"].startswith(family) else match["name"]
                if match["name"] in _NODE_SUMMED:
                    sums[match["name"]] = sums.get(match["name"], 0.0) + _number(match["value"])
                elif _is_of(match["labels"] or "", pod):
                    samples.setdefault(family_name, []).append(line)
    for name, value in sums.items():
        samples[name] = [f"{name} {value!r}"]
    lines: list[str] = []
    for family in sorted(samples):
        lines += headers.get(family, [])
        lines += samples[family]
    return ("\n".join(lines) + "\n").encode() if lines else b""


def _header(line: str, headers: dict[str, list[str]]) -> str:
    parts = line.split(" ", 3)
    if len(parts) < 4 or parts[1] not in ("HELP", "TYPE"):
        return ""
    known = headers.setdefault(parts[2], [])
    if not any(other.split(" ", 3)[1] == parts[1] for other in known):
        known.append(line)
    return parts[2]


def _is_of(labels: str, pod: KubeObject) -> bool:
    values = dict(_LABEL.findall(labels))
    meta = pod["metadata"]
    return (values.get("namespace"), values.get("pod")) == (meta["namespace"], meta["name"])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def summary(node: str, answers: Sequence[Answer], now: str) -> bytes:
    """/stats/summary: the pods' entries as their kubelets gave them, the node's CPU and memory summed."""
    pods: list[Any] = []
    cpu: dict[str, int] = {}
    memory: dict[str, int] = {}
    start = now
    for pod, text in answers:
        try:
            said = json.loads(text)
            entries = [entry for entry in said.get("pods") or () if _same_pod(entry.get("podRef") or {}, pod)]
            of_node = said.get("node") or {}
        except (ValueError, AttributeError):
            continue
        pods += entries
        _add(cpu, of_node.get("cpu"), ("usageNanoCores", "usageCoreNanoSeconds"))
        _add(memory, of_node.get("memory"), ("availableBytes", "usageBytes", "workingSetBytes", "rssBytes"))
        start = min(start, str(of_node.get("startTime") or now))
    whole = {
        "nodeName": node,
        "startTime": start,
        "cpu": {"time": now, **cpu},
        "memory": {"time": now, **memory},
    }
    return json.dumps({"node": whole, "pods": pods}).encode()


def _same_pod(reference: Any, pod: KubeObject) -> bool:
    meta = pod["metadata"]
    return bool(isinstance(reference, dict) and reference.get("uid") == meta["uid"])


def _add(total: dict[str, int], part: Any, keys: Iterable[str]) -> None:
    if not isinstance(part, dict):
        return
    for key in keys:
        if isinstance(part.get(key), int):
            total[key] = total.get(key, 0) + part[key]
