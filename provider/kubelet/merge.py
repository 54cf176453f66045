"""Node-wide answers in JSON out of what many guests say: the list of Pods, and the statistics' summary. Pure.

A guest is believed for its own Pod only: entries of another are dropped. What is of the node is summed up, since a
virtual node has no other machine than its guests'. The neighbour `exposition` has Prometheus' text.
"""

import datetime
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from provider.feed import KubeObject

_MOST = 2**63 - 1
"""Of anything: readers have 64 bits, and fail altogether on what does not fit."""

Answer = tuple[KubeObject, KubeObject]
"""A guest's Pod, as the API server knows it, and what its kubelet answered, `parsed`."""


@dataclass(frozen=True, slots=True)
class Beside:
    """What of the node is known better than by summing up what the guests say now."""

    core_nanoseconds: float | None = None  # CPU time that was used since the node is served
    memory_used: int = 0  # bytes, beside the guests


def pod_list(pods: Iterable[KubeObject]) -> bytes:
    """/pods: from the API server's point of view; guests have no say."""
    items = sorted(pods, key=lambda pod: (pod["metadata"].get("namespace", ""), pod["metadata"]["name"]))
    return json.dumps({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items}).encode()


def summary(node: str, answers: Sequence[Answer], now: str, beside: Beside = Beside()) -> bytes:
    """/stats/summary: the pods' entries as their kubelets gave them, the node's CPU and memory summed."""
    pods: list[Any] = []
    cpu: dict[str, int] = {}
    memory: dict[str, int] = {}
    start = now
    for pod, said in answers:
        of_node = said.get("node")
        entries = said.get("pods")
        if isinstance(entries, list):
            pods += [entry for entry in entries if _same_pod(entry, pod)][:1]
        if isinstance(of_node, dict):
            _add(cpu, of_node.get("cpu"), ("usageNanoCores", "usageCoreNanoSeconds"))
            _add(memory, of_node.get("memory"), ("availableBytes", "usageBytes", "workingSetBytes", "rssBytes"))
            start = min(start, _instant(of_node.get("startTime")) or now)
    if beside.core_nanoseconds is not None:
        cpu["usageCoreNanoSeconds"] = min(int(beside.core_nanoseconds), _MOST)
    for key in ("usageBytes", "workingSetBytes", "rssBytes"):
        if beside.memory_used:
            memory[key] = min(memory.get(key, 0) + beside.memory_used, _MOST)
    whole = {
        "nodeName": node,
        "startTime": start,
        "cpu": {"time": now, **cpu},
        "memory": {"time": now, **memory},
    }
    return json.dumps({"node": whole, "pods": pods}).encode()


def core_nanoseconds(said: KubeObject, pod: KubeObject) -> tuple[float, float]:
    """CPU time that a guest says its whole VM has used, and its Pod of that."""
    entries = said.get("pods")
    own = [each for each in entries if _same_pod(each, pod)] if isinstance(entries, list) else []
    used: list[dict[str, int]] = [{}, {}]
    for total, part in zip(used, (said.get("node"), own[0] if own else None), strict=True):
        _add(total, part.get("cpu") if isinstance(part, dict) else None, ("usageCoreNanoSeconds",))
    return tuple(float(each.get("usageCoreNanoSeconds", 0)) for each in used)  # type: ignore[return-value]


def parsed(text: bytes) -> KubeObject:
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
