"""Draws the main panels of two dashboards into docs/pictures, from what the laboratory's Prometheus has seen.

    make up; make test ARGS=e2e/tests/test_monitoring.py; python -m e2e.lab.pictures --minutes 10

Not a Grafana: panels are drawn simply, but from the dashboards' own titles, queries, legends and units. It needs
matplotlib (dependency group `pictures`), which nothing else does.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.ticker import FuncFormatter, MaxNLocator

from e2e.lab import netns, paths, queries
from e2e.lab.prometheus import Prometheus
from e2e.lab.state import State

PICTURES = {
    "overview": (
        *("VCHs Ready", "Pod start", "Starts that succeeded", "vCenter answers", "Parents", "Dangling VMs"),
        *("Pods by phase", "Start duration", "Asked for, of what Pods can have", "What instant clones save"),
    ),
    "pod-startup": (
        *("Start duration", "Start duration, quantiles", "Stages, p50", "Starts by result"),
        *("Instant clone", "Termination"),
    ),
}
"""By dashboard, the panels that are drawn: figures in one line, charts two by two."""

_POINTS = 180
_MEANING = {"success": "#37872d", "error": "#e02f44", "Running": "#37872d", "Pending": "#ff780a", "Failed": "#e02f44"}
_COLOURS = ("#3274d9", "#ff780a", "#37872d", "#8f3bb8", "#e02f44", "#0a8ba0", "#b8860b", "#6e7781")


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked for: which VCH, until now for so many seconds."""

    prometheus: Prometheus
    vch: str
    start: float
    end: float

    def expression(self, target: dict[str, Any]) -> str:
        everything = dict.fromkeys(("cluster", "server", "namespace"), ".*")
        ranges = {"__rate_interval": "1m", "__range": f"{self.end - self.start:.0f}s"}
        return queries.filled_in(target["expr"], {**everything, **ranges, "vch": self.vch, "node": self.vch})

    def series(self, panel: dict[str, Any]) -> list[tuple[str, list[datetime], list[float]]]:
        """Name, times and values, of all queries of a panel."""
        step = (self.end - self.start) / _POINTS
        return [
            (
                legend(target, each["metric"]),
                [datetime.fromtimestamp(at) for at, _ in each["values"]],  # noqa: DTZ006 - the reader's clock
                [float(value) for _, value in each["values"]],
            )
            for target in panel["targets"]
            for each in self.prometheus.history(self.expression(target), self.start, self.end, step)
        ]


def legend(target: dict[str, Any], labels: dict[str, str]) -> str:
    """As Grafana writes it."""
    told = target["legendFormat"]
    if told == "__auto":
        return ", ".join(labels.values())
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), told)


def amount(value: float, unit: str) -> str:
    """A value with its unit, as short as it can be told."""
    match unit:
        case "percentunit":
            return f"{value:.0%}"
        case "bytes":
            power = next(power for power in (3, 2, 1, 0) if abs(value) >= 1024**power or power == 0)
            return f"{value / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB')[power]}"
        case "s":
            return f"{value:.3g} s" if abs(value) >= 1 or not value else f"{value * 1000:.3g} ms"
        case "cpm":
            return f"{value:.3g}/min"
        case _:
            return f"{value:.3g}"


def draw_figure(axes: Axes, panel: dict[str, Any], span: Span) -> None:
    axes.axis("off")
    axes.set_title(panel["title"], fontsize=9, color="#57606a")
    unit = panel["fieldConfig"]["defaults"]["unit"]
    told = []
    for target in panel["targets"]:
        for sample in span.prometheus.samples(span.expression(target)):
            text = mapped(panel, sample["value"][1]) or amount(float(sample["value"][1]), unit)
            told.append(f"{legend(target, {})} {text}" if len(panel["targets"]) > 1 else text)
    axes.text(0.5, 0.4, "\n".join(told), ha="center", va="center", fontsize=13 if len(told) > 1 else 19, weight="bold")


def mapped(panel: dict[str, Any], value: str) -> str | None:
    for mapping in panel["fieldConfig"]["defaults"].get("mappings", ()):
        if value in mapping["options"]:
            return str(mapping["options"][value]["text"])
    return None


def draw_chart(axes: Axes, panel: dict[str, Any], span: Span) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    found = sorted(span.series(panel), key=lambda each: each[0])
    if defaults["custom"]["stacking"]["mode"] == "normal" and found:
        found = [each for each in found if any(each[2])]
        instants = sorted({at for _, times, _ in found for at in times})
        heights = [
            [dict(zip(times, values, strict=True)).get(at, 0.0) for at in instants] for _, times, values in found
        ]
        names = [name for name, _, _ in found]
        axes.stackplot(instants, heights, labels=names, colors=[colour(*each) for each in enumerate(names)], alpha=0.75)
    else:
        for number, (name, times, values) in enumerate(found):
            axes.plot(times, values, label=name, color=colour(number, name), linewidth=1.6)
    axes.set_ylim(bottom=0)
    if "max" in defaults:
        axes.set_ylim(top=defaults["max"])
    if found:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), fontsize=8, frameon=False, ncols=4)
    _frame(axes, panel, span)
    if defaults["unit"] == "bytes":
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 4, 8, 10]))


def colour(number: int, name: str) -> str:
    return _MEANING.get(name, _COLOURS[number % len(_COLOURS)])


def draw_heatmap(axes: Axes, panel: dict[str, Any], span: Span) -> None:
    """Cumulative buckets, made single ones."""
    buckets = sorted(span.series(panel), key=lambda each: float(each[0]))
    below = [0.0] * len(buckets[0][2])
    cells, bounds = [], []
    for name, _, values in buckets:
        cells.append([max(0.0, value - lower) for value, lower in zip(values, below, strict=True)])
        below = values
        bounds.append(name)
    used = [number for number, row in enumerate(cells) if any(value > 0.05 for value in row)]
    first, last = max(0, min(used) - 1), min(len(cells) - 1, max(used) + 1)
    rows = cells[first : last + 1]
    times = buckets[0][1]
    axes.pcolormesh(times, range(len(rows)), rows, cmap="Oranges", shading="nearest")
    axes.set_yticks(range(len(rows)), [f"≤ {float(bound):g} s" for bound in bounds[first : last + 1]])
    _frame(axes, panel, span, formatted=False)


def _frame(axes: Axes, panel: dict[str, Any], span: Span, *, formatted: bool = True) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    axes.set_title(panel["title"], fontsize=10, loc="left", weight="bold")
    if formatted:
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=unit == "none"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value, unit)))
        axes.grid(axis="y", color="#d0d7de", linewidth=0.6)
    axes.set_xlim(datetime.fromtimestamp(span.start), datetime.fromtimestamp(span.end))  # noqa: DTZ006
    axes.xaxis.set_major_formatter(DateFormatter("%H:%M"))
    axes.xaxis.set_major_locator(matplotlib.dates.MinuteLocator(interval=max(1, round((span.end - span.start) / 360))))
    axes.tick_params(labelsize=8, color="#d0d7de")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def draw(board: dict[str, Any], titles: Sequence[str], span: Span, target: Path) -> None:
    """One picture of these panels."""
    panels = {panel["title"]: panel for panel in queries.panels(board)}
    figures = [panels[title] for title in titles if panels[title]["type"] == "stat"]
    charts = [panels[title] for title in titles if panels[title]["type"] != "stat"]
    lines = (len(charts) + 1) // 2
    heights = [*([0.42] if figures else []), *[1.0] * lines]
    whole = pyplot.figure(figsize=(11, 0.4 + 2.5 * sum(heights)), layout="constrained")
    whole.suptitle(board["title"], fontsize=12, weight="bold", x=0.01, ha="left")
    parts = whole.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    if figures:
        for axes, panel in zip(parts[0].subplots(1, len(figures), squeeze=False)[0], figures, strict=True):
            draw_figure(axes, panel, span)
    for number, part in enumerate(parts[1:] if figures else parts):
        pair = charts[2 * number : 2 * number + 2]
        for axes, panel in zip(part.subplots(1, len(pair), squeeze=False)[0], pair, strict=True):
            (draw_heatmap if panel["type"] == "heatmap" else draw_chart)(axes, panel, span)
    target.parent.mkdir(parents=True, exist_ok=True)
    whole.savefig(target, dpi=100, pil_kwargs={"optimize": True})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.lab.pictures", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15, help="how far back (default: 15)")
    parser.add_argument("--vch", default=".*", help="a VCH, or a regular expression of several (default: all)")
    options = parser.parse_args()
    place = paths.here()
    state = State.load(place)
    prometheus, was_up = Prometheus(place, state), state.running("prometheus") is not None
    end = time.time()
    span = Span(prometheus, options.vch, end - 60 * options.minutes, end)
    matplotlib.use("agg")
    boards = {path.stem: json.loads(path.read_text("utf-8")) for path in queries.DASHBOARDS}
    with netns.entered(place.namespace):
        prometheus.start()
        try:
            for name, titles in PICTURES.items():
                target = place.checkout / "docs" / "pictures" / f"{name}.png"
                draw(boards[name], titles, span, target)
                print(f"{target.relative_to(place.checkout)}: {target.stat().st_size >> 10} KiB")
        finally:
            if not was_up:
                prometheus.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
