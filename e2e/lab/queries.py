"""What the chart's dashboards and rules ask Prometheus for: their queries, the series that these select, and what
stands for Grafana's variables. Values only; asking is `prometheus`'s business.

Not a parser of PromQL: series are found by the shape of the text, and whether a query is valid is for promtool to say.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FILES = Path(__file__).parents[2] / "charts" / "virtual-kubelet-vch" / "files"
DASHBOARDS = sorted((FILES / "dashboards").glob("*.json"))
RULES = sorted((FILES / "rules").glob("*.yaml"))

_STRING = r'"(?:[^"\\]|\\.)*"'
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_SELECTOR = re.compile(rf"(?<![\w:])([a-zA-Z_:][\w:]*+)\s*+(\{{(?:{_STRING}|[^}}\"])*\}})?(?!\()")
_RANGE = re.compile(r"\[[^\]]*\]")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "Inf", "NaN"})
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")


@dataclass(frozen=True, slots=True)
class Query:
    """One query, and where it stands: `dashboard / panel / A`, or the alert's name."""

    where: str
    expression: str


@dataclass(frozen=True, slots=True)
class Selector:
    """Series that a query reads: a name and, in braces, matchers (or nothing)."""

    name: str
    matchers: str

    def __str__(self) -> str:
        return f"{self.name}{self.matchers}"


def dashboard(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return read


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels but rows, those within collapsed rows too."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


def of_dashboard(board: Mapping[str, Any]) -> list[Query]:
    """The queries of all panels."""
    return [
        Query(f"{board['title']} / {panel['title']} / {target['refId']}", target["expr"])
        for panel in panels(board)
        for target in panel["targets"]
    ]


def alerts() -> list[dict[str, Any]]:
    """All alerts of all rule files."""
    groups = (group for path in RULES for group in yaml.safe_load(path.read_text("utf-8"))["groups"])
    return [rule for group in groups for rule in group["rules"]]


def of_alerts() -> list[Query]:
    return [Query(rule["alert"], rule["expr"]) for rule in alerts()]


def selectors(expression: str) -> set[Selector]:
    """What a query reads."""
    text = _GROUPING.sub(" ", expression)
    found = set()
    for match in _SELECTOR.finditer(_without_words(text)):
        if match[1] not in _WORDS:
            found.add(Selector(match[1], text[match.start(2) : match.end(2)] if match[2] else ""))
    return found


def _without_words(text: str) -> str:
    """Of the same length, without what is in strings and ranges: a word there is no name."""
    blank = re.sub(_STRING, lambda match: f'"{" " * (len(match[0]) - 2)}"', text)
    return _RANGE.sub(lambda match: " " * len(match[0]), blank)


def filled_in(expression: str, values: Mapping[str, str]) -> str:
    """With Grafana's variables replaced. Raises KeyError for one that has no value."""
    return _VARIABLE.sub(lambda match: values[match[1] or match[2]], expression)
