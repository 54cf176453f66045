"""A virtual node's own counters and gauges, summed over its guests so that counters never go backwards. Pure state.

A guest that does not answer once keeps what it said last; what it had counted stays when its Pod leaves. A guest whose
counter fell has begun anew (its VM was reset), and counts from there. What counts is what was counted since this
replica serves the node: of a guest that was there before, only what it adds. So the sums begin anew when another
replica takes the node over, as a kubelet's do when it is started again, and readers know resets.

For each guest one array of doubles is kept, for each series a place in all of them.
"""

import math
from array import array
from collections.abc import Collection, Iterator, Mapping

_MOST = 2.0**63
"""Of anything: readers have 64 bits."""

_SERIES = 4000
"""At most: a guest must not be able to make series without end."""


class NodeTotals:
    """Of one path of one virtual node. `began`: unix seconds, when this replica began to serve it."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._places: dict[str, int] = {}
        self._totals = array("d")
        self._guests: dict[str, array[float]] = {}  # by UID: what each said last
        self._asked: dict[str, float] = {}  # by UID: when it was asked for that

    def add(
        self,
        uid: str,
        created: float,
        asked: float,
        values: Mapping[str, float],
        firsts: Mapping[str, float] | None = None,
    ) -> None:
        """What a guest says of itself. `created`: its Pod, unix seconds; `asked`: a monotonic instant, by which older
        answers are told. `firsts`: what counts of a value that is heard for the first time, if not all of it."""
        if asked <= self._asked.get(uid, -math.inf):
            return
        self._asked[uid] = asked
        last = self._guests.setdefault(uid, array("d"))
        for series, value in values.items():
            place = self._place(series)
            if place is None or not 0 <= value < _MOST:
                continue
            if len(last) <= place:
                last.extend([math.nan] * (place + 1 - len(last)))
            before = last[place]
            last[place] = value
            if math.isnan(before):
                added = 0.0 if created < self._began else (firsts or {}).get(series, value)
            else:
                added = value - before if value >= before else value
            self._totals[place] = min(self._totals[place] + added, _MOST)

    def keep(self, uids: Collection[str]) -> None:
        """These guests are there, and no others."""
        for uid in self._guests.keys() - set(uids):
            del self._guests[uid], self._asked[uid]

    def counters(self) -> Iterator[tuple[str, float]]:
        """Each series, and what all guests have counted."""
        for series, place in self._places.items():
            yield series, self._totals[place]

    def gauge(self, series: str) -> float:
        """What the guests that are there say now, or said last."""
        place = self._places.get(series)
        if place is None:
            return 0.0
        said = (last[place] for last in self._guests.values() if place < len(last))
        return min(sum(value for value in said if not math.isnan(value)), _MOST)

    def series(self) -> Collection[str]:
        return self._places.keys()

    def counter(self, series: str) -> float:
        place = self._places.get(series)
        return self._totals[place] if place is not None else 0.0

    def _place(self, series: str) -> int | None:
        place = self._places.get(series)
        if place is None and len(self._places) < _SERIES:
            place = self._places[series] = len(self._totals)
            self._totals.append(0.0)
        return place
