"""One node-wide answer out of the answers of many guests. Pure.

A guest is believed for its own Pod only: samples and entries of another are dropped. What is of the node is summed up,
since a virtual node has no other machine than its guests'.
"""

import datetime
import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from provider.feed import KubeObject

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"')
_LABELS = rf"{_LABEL.pattern}(?:,{_LABEL.pattern})*,?"
_VALUE = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?Inf|NaN"
_SAMPLE = re.compile(rf"(?P<name>{_NAME})(?:\{{(?P<labels>{_LABELS})?\}})? (?P<value>{_VALUE})(?: -?[0-9]{{1,18}})?")
_HEADER = re.compile(
    rf"# (?:HELP (?P<helped>{_NAME}) .*|TYPE (?P<typed>{_NAME}) (?:counter|gauge|histogram|summary|untyped))"
)
_NODE_SUMMED = ("node_cpu_usage_seconds_total", "node_memory_working_set_bytes", "node_swap_usage_bytes")

_MOST = 2**63 - 1
"""Of anything: readers have 64 bits, and fail altogether on what does not fit."""

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
    families: dict[str, str] = {}  # of each sample's name, the same for all guests: a family must stand in one block
    for pod, text in answers:
        family = ""
        for line in text.decode(errors="replace").split("\n"):
            if line.startswith("#"):
                family = _header(line, headers)
            elif (match := _SAMPLE.fullmatch(line)) is not None:
                name, value = match["name"], match["value"]
                if name in _NODE_SUMMED:
                    sums[name] = sums.get(name, 0.0) + _amount(value)
                elif _is_of(match["labels"] or "", pod) and _is_representable(value):
                    samples.setdefault(families.setdefault(name, _family(name, family)), []).append(line)
    for name, value in sums.items():
        samples[name] = [f"{name} {value!r}"]
    lines: list[str] = []
    for family in sorted(samples):
        lines += headers.get(family, [])
        lines += samples[family]
    return ("\n".join(lines) + "\n").encode() if lines else b""


def _header(line: str, headers: dict[str, list[str]]) -> str:
    match = _HEADER.fullmatch(line)
    if match is None:
        return ""
    family = match["helped"] or match["typed"]
    known = headers.setdefault(family, [])
    if not any(other.split(" ", 2)[1] == line.split(" ", 2)[1] for other in known):
        known.append(line)
    return str(family)


def _family(name: str, family: str) -> str:
    """Only samples of histograms and summaries are named otherwise than their family."""
    return family if name in (f"{family}_bucket", f"{family}_sum", f"{family}_count") else name


def _is_of(labels: str, pod: KubeObject) -> bool:
    pairs = _LABEL.findall(labels)
    values = dict(pairs)
    if len(values) != len(pairs) or any(label.startswith("__") for label in values):
        return False  # one parser would read this pod in it, another that one
    meta = pod["metadata"]
    return (values.get("namespace"), values.get("pod")) == (meta["namespace"], meta["name"])


def _amount(value: str) -> float:
    """What a guest adds to its node: one that says nonsense must not spoil the sum."""
    amount = float(value)
    return amount if 0 <= amount <= _MOST else 0.0


def _is_representable(value: str) -> bool:
    """Whether a parser with doubles takes it: Go's calls 1e999 an error."""
    return value.lstrip("+-") in ("Inf", "NaN") or math.isfinite(float(value))


def summary(node: str, answers: Sequence[Answer], now: str) -> bytes:
    """/stats/summary: the pods' entries as their kubelets gave them, the node's CPU and memory summed."""
    pods: list[Any] = []
    cpu: dict[str, int] = {}
    memory: dict[str, int] = {}
    start = now
    for pod, text in answers:
        said = _object(text)
        of_node = said.get("node")
        entries = said.get("pods")
        if isinstance(entries, list):
            pods += [entry for entry in entries if _same_pod(entry, pod)][:1]
        if isinstance(of_node, dict):
            _add(cpu, of_node.get("cpu"), ("usageNanoCores", "usageCoreNanoSeconds"))
            _add(memory, of_node.get("memory"), ("availableBytes", "usageBytes", "workingSetBytes", "rssBytes"))
            start = min(start, _instant(of_node.get("startTime")) or now)
    whole = {
        "nodeName": node,
        "startTime": start,
        "cpu": {"time": now, **cpu},
        "memory": {"time": now, **memory},
    }
    return json.dumps({"node": whole, "pods": pods}).encode()


def _object(text: bytes) -> KubeObject:
    """What is none is taken for an empty one: a guest that answers nonsense is left out."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _same_pod(entry: Any, pod: KubeObject) -> bool:
    reference = entry.get("podRef") if isinstance(entry, dict) else None
    return isinstance(reference, dict) and reference.get("uid") == pod["metadata"]["uid"]


def _instant(text: Any) -> str | None:
    """A time in the one form that Kubernetes writes."""
    try:
        return text if datetime.datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M:%SZ") == text else None
    except (TypeError, ValueError):
        return None


def _add(total: dict[str, int], part: Any, keys: Iterable[str]) -> None:
    if not isinstance(part, dict):
        return
    for key in keys:
        value = part.get(key)
        if type(value) is int and 0 <= value <= _MOST:
            total[key] = min(total.get(key, 0) + value, _MOST)
