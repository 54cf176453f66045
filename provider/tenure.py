"""Whose is a virtual node? From what its Lease says to the one thing to do next. Pure; `lease_controller` does it.

Theory of operation
-------------------
Replicas have no common clock. A Lease carries times, but they are another machine's wall clock, so nobody believes
them: as in client-go's leader election, each replica notes on its *own monotonic clock* when it first saw a Lease as it
is now (`Sight`), and takes it for expired when it has stayed like that for its whole duration. The holder for its part
counts from the instant *before* it sent its last successful renewal, and stops a margin earlier (`fence`). What the one
saw last cannot be older than what the other sent, so the holder has always stopped before somebody else may begin:

    holder   sent ───────────────── duration - margin ──▶ stops writing
    others        └─ stored ── seen ──────────────────── duration ──▶ may take it

A renewal and an acquisition name the version that they are based on, so that of two only one succeeds. A Lease that
vanishes is treated as one that was renewed: its holder does not know yet. (A replica that never saw it cannot do so:
nobody may delete the Lease of a VCH that exists.) A Lease that names us while we hold no tenure is somebody else's (a
process of the same name, paused; or our own acquisition whose answer was lost): it is waited for.

| the Lease                           | our tenure    |                                  | decision             |
|-------------------------------------|---------------|----------------------------------|----------------------|
| any                                 | runs          | the process stops                | Release              |
| any                                 | is over       |                                  | StepDown             |
| names another, nobody, is not there | runs          |                                  | StepDown             |
| names us                            | runs          | renewal is due                   | Renew                |
| names us                            | runs          | renewal is not due               | Wait (until it is)   |
| any                                 | none          | the process stops, or not known  | Wait (for news)      |
| names another, not expired          | none          |                                  | Wait (for expiry)    |
| free, expired                       | none          | we have less than our share      | Acquire              |
| free, expired                       | none          | nobody took it for a duration    | Acquire              |
| free, expired                       | none          | else                             | Wait (a duration)    |

The share is the number of virtual nodes divided by that of live replicas, rounded up. The holder of an expired Lease is
no live replica. Nothing is ever taken away to even out the shares: that would restart what runs well. Replicas that
come later get what becomes free.
"""

import math
from dataclasses import dataclass

NOBODY = ""


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds. `duration` is whole: Leases know nothing finer."""

    duration: int = 15
    renew: float = 5.0  # from one renewal to the next
    retry: float = 2.0  # between looks at what others hold
    margin: float = 3.0  # before the end of a tenure in which nothing is sent any more

    def __post_init__(self) -> None:
        """Raises ValueError if not even one renewal could fail."""
        if self.duration - self.margin <= self.renew + self.retry:
            raise ValueError("renew + retry must be shorter than duration - margin, or one slow answer ends a tenure")

    @property
    def within(self) -> float:
        """How long an answer to a renewal is waited for: a second one must still be possible."""
        return (self.duration - self.margin - self.renew) / 2


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """What a Lease says, without its times."""

    holder: str
    version: str  # resourceVersion: changes with every renewal
    duration: float


@dataclass(frozen=True, slots=True)
class Sight:
    """A Lease as it was last seen (None: there is none), and since when it is like that on our own clock."""

    record: LeaseRecord | None
    since: float

    @property
    def holder(self) -> str:
        return self.record.holder if self.record else NOBODY

    def free_since(self) -> float:
        """From when on nobody holds it, if it does not change."""
        if self.record is None or self.record.holder == NOBODY:
            return self.since
        return self.since + self.record.duration


def see(before: Sight | None, record: LeaseRecord | None, now: float) -> Sight:
    """What is known after a look at the Lease at `now` (an instant not before the answer came)."""
    if before is None:
        return Sight(record, now)
    if record is None and before.holder != NOBODY:
        assert before.record is not None
        if before.record.version == _VANISHED:
            return before
        return Sight(LeaseRecord(before.holder, _VANISHED, before.record.duration), now)
    return before if record == before.record else Sight(record, now)


_VANISHED = ""
"""No API server gives an object this version."""


def exists(sight: Sight) -> bool:
    """There is an object to update; else one has to be created."""
    return sight.record is not None and sight.record.version != _VANISHED


@dataclass(frozen=True, slots=True)
class Acquire:
    """Make the Lease ours."""


@dataclass(frozen=True, slots=True)
class Renew:
    """Say that we are alive."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing, until this instant of our clock or until there is news."""

    until: float = math.inf


@dataclass(frozen=True, slots=True)
class StepDown:
    """Stop the virtual node: it is not ours any more. The Lease is not written."""

    why: str


@dataclass(frozen=True, slots=True)
class Release:
    """Stop the virtual node, then give the Lease back."""


Decision = Acquire | Renew | Wait | StepDown | Release


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that a decision depends on."""

    me: str
    sight: Sight | None  # None: not looked at yet
    sent: float | None  # when our last successful renewal was sent; None: no tenure of ours
    live: frozenset[str]  # replicas that show that they are there
    nodes: int  # virtual nodes that are to be shared
    held: int  # how many of them are ours
    stopping: bool
    now: float


def over_at(sent: float, terms: Terms) -> float:
    """The instant from which the holder sends nothing any more."""
    return sent + terms.duration - terms.margin


def decide(here: Situation, terms: Terms) -> Decision:
    """See the table above."""
    if here.sent is not None:
        return _as_holder(here, here.sent, terms)
    if here.stopping or here.sight is None:
        return Wait()
    return _as_candidate(here, here.sight, terms)


def _as_holder(here: Situation, sent: float, terms: Terms) -> Decision:
    if here.now >= over_at(sent, terms):
        return StepDown("it was not renewed in time")
    if here.sight is None or here.sight.holder != here.me or not exists(here.sight):
        return StepDown(f"it names {(here.sight.holder if here.sight else NOBODY) or 'nobody'} as its holder")
    if here.stopping:
        return Release()
    due = sent + terms.renew
    return Renew() if here.now >= due else Wait(due)


def _as_candidate(here: Situation, sight: Sight, terms: Terms) -> Decision:
    free = sight.free_since()
    if here.now < free:
        return Wait(free)
    live = (here.live | {here.me}) - ({sight.holder} - {here.me})
    if here.held < share(here.nodes, len(live)) or here.now >= free + terms.duration:
        return Acquire()
    return Wait(free + terms.duration)


def share(nodes: int, replicas: int) -> int:
    """How many virtual nodes one of so many replicas takes without hesitating."""
    return math.ceil(nodes / max(replicas, 1))
