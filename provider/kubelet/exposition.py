"""Prometheus' text format (0.0.4), read from one guest and written for the whole node. Pure.

A guest is believed for its own Pod only: samples that name another are dropped, and so is each line that would spoil
the whole answer for a reader. Readers are Prometheus, and metrics-server, which looks for `pod="` and its like in raw
bytes. This is line work: a scrape of 500 guests has some 300,000 of them. What is of the node is `node_totals`'.
"""

import functools
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from provider.feed import KubeObject

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*+(?:\\["\\n][^"\\\n]*+)*+"'
_LABELS = rf"{_LABEL}(?:,{_LABEL})*+,?"
_VALUE = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?Inf|NaN"
_SAMPLE = re.compile(rf"({_NAME})(?:\{{((?:{_LABELS})?)\}})? ({_VALUE})(?: -?[0-9]{{1,18}})?")
_HEADER = re.compile(rf"# (?:HELP ({_NAME}) .*|TYPE ({_NAME}) (?:counter|gauge|histogram|summary|untyped))")
_NAMES = re.compile(r'(?:^|,)([a-zA-Z_][a-zA-Z0-9_]*)="')
"""Names of labels. A value's end can look like one (`a="x,b="`): that is one name too many, never one too few."""
_PAIRS = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
_TARGETS = frozenset({"job", "instance", "cluster", "node", "service", "endpoint", "metrics_path", "prometheus"})
"""Labels by which Prometheus tells what it has scraped. A scrape of kubelets honours labels: a guest has none of these,
or it would speak for another node."""

_OF_NODE = (
    *("le", "operation_type", "container_state", "container_type", "code", "static", "state", "status", "config"),
    *("eviction_signal", "preemption_signal", "runtime_handler", "image_size_in_bytes", "lifecycle", "plugin_name"),
    *("operation_name", "volume_plugin", "migrated", "terminal_state", "exit_code", "reason", "type", "work"),
)
_PLAIN = rf'(?:{"|".join(_OF_NODE)})="[A-Za-z0-9_.+/:-]{{0,80}}"'
_SERIES = re.compile(rf"({_NAME})(?:\{{(?:{_PLAIN}(?:,{_PLAIN})*)?\}})?")
"""Of what is summed: with labels as a kubelet has them, not a tenant's words."""
_NUMBER = re.compile(_VALUE)

_SUFFIXES = ("_bucket", "_sum", "_count")
_OF_CLAIMS = "kubelet_volume_stats_"
_LABELS_GROUP, _VALUE_GROUP = 2, _SAMPLE.groups

Answer = tuple[KubeObject, bytes]
"""A guest's Pod, as the API server knows it, and what its kubelet answered."""


@dataclass(slots=True)
class Said:
    """What of one guest's answer counts."""

    headers: dict[str, list[str]] = field(default_factory=dict)  # HELP and TYPE by family
    samples: dict[str, list[str]] = field(default_factory=dict)  # of its own Pod, by family
    sums: dict[str, float] = field(default_factory=dict)  # of the node, by series: name and labels

    def drop_family(self, family: str) -> None:
        self.samples.pop(family, None)


def read(
    pod: KubeObject,
    text: bytes,
    prefixes: tuple[str, ...],
    summed: frozenset[str] = frozenset(),
    claims: Collection[str] = (),
) -> Said:
    """One guest's answer. `prefixes`: of the names that it may use for its Pod; `summed`: families of the node;
    `claims`: PersistentVolumeClaims that it may speak of."""
    said, meta = Said(), pod["metadata"]
    own = f'pod="{meta["name"]}"'
    family = ""
    families: dict[str, str] = {}  # of each sample's name
    for line in text.decode(errors="replace").split("\n"):
        if prefixes and own in line:
            if line.startswith(prefixes) and (name := _own(line, meta["namespace"], meta["name"])):
                said.samples.setdefault(families.setdefault(name, _family(name, family)), []).append(line)
        elif line.startswith("#"):
            family = _header(line, said.headers)
        elif claims and line.startswith(_OF_CLAIMS):
            if _claimed(line, meta["namespace"], claims):
                said.samples.setdefault(family, []).append(line)
        elif summed and family in summed:
            _sum(line, family, said.sums)
    return said


def merge(said: Iterable[Said], of_node: Mapping[str, Sequence[str]] | None = None) -> bytes:
    """One text: each family in one block behind its header. `of_node`: what the node says itself, by family, headers
    and all; no guest is asked about these."""
    headers: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for one in said:
        for family, found in one.samples.items():
            samples.setdefault(family, []).extend(found)
            if family not in headers and family in one.headers:
                headers[family] = one.headers[family]
    own = dict(of_node or {})
    whole: list[str] = []
    for family in sorted(samples.keys() | own.keys()):
        if family in own:
            whole += own[family]
        else:
            whole += headers.get(family, [])
            whole += samples[family]
    return ("\n".join(whole) + "\n").encode() if whole else b""


def labels_of(line: str) -> dict[str, str]:
    """The labels of a sample that `read` has let pass."""
    match = _SAMPLE.fullmatch(line)
    return dict(_PAIRS.findall(match[_LABELS_GROUP] or "")) if match else {}


def value_of(line: str) -> float:
    """The value of a sample that `read` has let pass."""
    match = _SAMPLE.fullmatch(line)
    return float(match[_VALUE_GROUP]) if match else math.nan


def _own(line: str, namespace: str, pod: str) -> str | None:
    """The name of a sample of this Pod; None for all others."""
    match = _SAMPLE.fullmatch(line)
    if match is None:
        return None
    # Quotes in values are escaped, so what stands between a comma and a quote like this is a label and no value.
    labels = f",{match[_LABELS_GROUP]},"
    if f',pod="{pod}",' not in labels or f',namespace="{namespace}",' not in labels:
        return None
    names = _NAMES.findall(match[_LABELS_GROUP])
    if len(found := set(names)) != len(names) or found & _TARGETS or ",__" in labels:
        return None  # of labels that are there twice one parser takes the first, another the last
    return match[1] if _is_representable(match[_VALUE_GROUP]) else None


def _claimed(line: str, namespace: str, claims: Collection[str]) -> bool:
    """A sample of a volume that the Pod has."""
    match = _SAMPLE.fullmatch(line)
    pairs = _PAIRS.findall(match[_LABELS_GROUP] or "") if match else []
    if match is None or sorted(label for label, _ in pairs) != ["namespace", "persistentvolumeclaim"]:
        return False
    values = dict(pairs)
    own = values["namespace"] == namespace and values["persistentvolumeclaim"] in claims
    return own and _is_representable(match[_VALUE_GROUP])


def _sum(line: str, family: str, sums: dict[str, float]) -> None:
    series, _, value = line.rpartition(" ")
    if not _is_of_node(series, family):
        series, _, value = series.rpartition(" ")  # what stood last was a time
        if not _is_of_node(series, family):
            return
    if _NUMBER.fullmatch(value) and 0 <= (number := float(value)) < math.inf:
        sums[series] = number


@functools.lru_cache(maxsize=8192)
def _is_of_node(series: str, family: str) -> bool:
    """Name and labels of something that is summed. All guests say the same ones."""
    match = _SERIES.fullmatch(series)
    return match is not None and _family(match[1], family) == family


def _header(line: str, headers: dict[str, list[str]]) -> str:
    family = _header_of(line)
    if family:
        known = headers.setdefault(family, [])
        if not any(other[:7] == line[:7] for other in known):  # "# HELP ", "# TYPE "
            known.append(line)
    return family


@functools.lru_cache(maxsize=4096)
def _header_of(line: str) -> str:
    """The family; empty for a line that is no header. All guests say the same ones."""
    match = _HEADER.fullmatch(line)
    return "" if match is None else str(match[1] or match[2])


def _family(name: str, family: str) -> str:
    """Only samples of histograms and summaries are named otherwise than their family."""
    return family if name.startswith(family) and name[len(family) :] in _SUFFIXES else name


def _is_representable(value: str) -> bool:
    """Whether a parser with doubles takes it: Go's calls 1e999 an error."""
    return value.lstrip("+-") in ("Inf", "NaN") or math.isfinite(float(value))
