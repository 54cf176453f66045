"""Two replicas are never both the holder by their own fence, whatever their clocks say and wherever they pause."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider import errors, tenure
from provider.fence import Fence
from provider.tenure import Acquire, LeaseRecord, Release, Renew, Sight, Situation, StepDown, Terms, Wait

TERMS = Terms(duration=15, renew=5, retry=2, margin=3)
OURS = LeaseRecord("me", "1", 15)
THEIRS = LeaseRecord("other", "1", 15)
NOBODYS = LeaseRecord("", "1", 15)


def make_situation(**fields: object) -> Situation:
    given: dict = {"me": "me", "sight": Sight(None, 100), "sent": None, "live": frozenset({"me", "other"})}
    return Situation(**{**given, "nodes": 2, "held": 0, "stopping": False, "now": 100.0, **fields})


@pytest.mark.parametrize(
    ("fields", "decision"),
    [
        ({"sent": 100.0, "sight": Sight(OURS, 100), "now": 104.9}, Wait(105.0)),
        ({"sent": 100.0, "sight": Sight(OURS, 100), "now": 105.0}, Renew()),
        ({"sent": 100.0, "sight": Sight(OURS, 100), "now": 111.9}, Renew()),
        ({"sent": 100.0, "sight": Sight(OURS, 100), "now": 112.0}, StepDown("it was not renewed in time")),
        ({"sent": 100.0, "sight": Sight(OURS, 100), "stopping": True}, Release()),
        ({"sent": 100.0, "sight": Sight(OURS, 100), "stopping": True, "now": 112.0}, "StepDown"),
        ({"sent": 100.0, "sight": Sight(THEIRS, 100)}, StepDown("it names other as its holder")),
        ({"sent": 100.0, "sight": Sight(NOBODYS, 100)}, StepDown("it names nobody as its holder")),
        ({"sent": 100.0, "sight": tenure.see(Sight(OURS, 100), None, 101), "now": 101.0}, "StepDown"),
        ({"sight": None}, Wait()),
        ({"stopping": True}, Wait()),
        ({"sight": Sight(THEIRS, 100), "now": 114.9}, Wait(115.0)),
        ({"sight": Sight(OURS, 100), "now": 114.9}, Wait(115.0)),
        ({"sight": Sight(THEIRS, 100), "now": 115.0}, Acquire()),
        ({"sight": Sight(THEIRS, 100), "now": 115.0, "held": 1}, Acquire()),
        ({"sight": Sight(THEIRS, 100), "now": 115.0, "held": 1, "live": frozenset({"me", "other", "third"})}, "Wait"),
        ({"sight": Sight(NOBODYS, 100)}, Acquire()),
        ({"sight": Sight(None, 100)}, Acquire()),
        ({"sight": Sight(None, 100), "held": 1}, Wait(115.0)),
        ({"sight": Sight(None, 100), "held": 1, "now": 115.0}, Acquire()),
        ({"sight": Sight(None, 100), "held": 1, "live": frozenset()}, Acquire()),
    ],
)
def test_each_row_of_the_table(fields: dict, decision: object) -> None:
    decided = tenure.decide(make_situation(**fields), TERMS)
    assert (type(decided).__name__ if isinstance(decision, str) else decided) == decision


def test_only_a_change_of_the_lease_begins_its_time_anew() -> None:
    first = tenure.see(None, THEIRS, 10)
    assert tenure.see(first, THEIRS, 20) is first
    assert tenure.see(first, replace(THEIRS, version="2"), 20).since == 20


def test_a_lease_that_vanishes_is_still_its_holders_for_a_whole_duration() -> None:
    gone = tenure.see(Sight(THEIRS, 10), None, 20)
    assert (gone.free_since(), tenure.exists(gone)) == (35, False)
    assert tenure.see(gone, None, 30) is gone
    assert tenure.see(Sight(NOBODYS, 10), None, 20).free_since() == 20


@pytest.mark.parametrize(("nodes", "replicas", "expected"), [(2, 2, 1), (3, 2, 2), (2, 3, 1), (0, 2, 0), (5, 0, 5)])
def test_the_share(nodes: int, replicas: int, expected: int) -> None:
    assert tenure.share(nodes, replicas) == expected


def test_terms_that_leave_no_room_for_a_failure_are_refused() -> None:
    with pytest.raises(ValueError, match="duration"):
        Terms(duration=10, renew=5, retry=2, margin=3)


def test_a_fence_is_shut_at_first_and_after_its_end() -> None:
    now = [100.0]
    fence = Fence("vch", TERMS, lambda: now[0])
    for instant, open_ in ((100.0, False), (100.0, True), (111.9, True), (112.0, False)):
        if open_ and instant == 100.0:
            fence.renewed(100.0)
        now[0] = instant
        if open_:
            fence.check()
        else:
            with pytest.raises(errors.LeaseLost, match="vch"):
                fence.check()
    fence.renewed(112.0)
    fence.check()
    fence.close()
    fence.renewed(112.0)
    with pytest.raises(errors.LeaseLost):
        fence.check()


# The property: replicas as small as can be, against one Lease that is stored with versions.


@dataclass
class Server:
    """The one Lease; a write needs the version that it is based on."""

    record: LeaseRecord | None = None
    writes: int = 0

    def write(self, holder: str, based_on: str | None, duration: float) -> LeaseRecord | None:
        if (self.record.version if self.record else None) != based_on:
            return None
        self.writes += 1
        self.record = LeaseRecord(holder, str(self.writes), duration)
        return self.record


@dataclass
class Replica:
    """Reads, decides, sends; it may be paused wherever it yields, for as long as it pleases the test."""

    name: str
    server: Server
    time: list[float]  # true time, shared
    offset: float  # of its monotonic clock
    terms: Terms
    lost: Iterator[bool]  # whether the next answer is lost
    sight: Sight | None = None
    sent: float | None = None
    fence: Fence = field(init=False)

    def __post_init__(self) -> None:
        self.fence = self._new_fence()

    def now(self) -> float:
        return self.time[0] + self.offset

    def holds(self) -> bool:
        return self.fence.left() > 0

    def steps(self) -> Iterator[None]:
        while True:
            read = self.server.record
            yield
            if self.sent is None:
                self.sight = tenure.see(self.sight, read, self.now())
            here = Situation(self.name, self.sight, self.sent, frozenset(), 1, 0, False, self.now())
            decision = tenure.decide(here, self.terms)
            yield
            match decision:
                case Acquire() | Renew():
                    yield from self._write()
                case StepDown():
                    self.fence.close()
                    self.sent = None
            yield

    def _write(self) -> Iterator[None]:
        began = self.now()
        assert self.sight is not None
        based_on = self.sight.record.version if tenure.exists(self.sight) and self.sight.record else None
        yield
        answer = self.server.write(self.name, based_on, self.terms.duration)
        yield
        if next(self.lost):
            return
        if answer is None:
            self.sight = tenure.see(self.sight, self.server.record, self.now())
            return
        if self.sent is None:
            self.fence = self._new_fence()
        self.sight, self.sent = tenure.see(self.sight, answer, self.now()), began
        self.fence.renewed(began)

    def _new_fence(self) -> Fence:
        return Fence(self.name, self.terms, self.now)


TERMS_OF_REPLICAS = st.sampled_from([TERMS, Terms(duration=30, renew=10, retry=2, margin=1), Terms(8, 2, 1, 1)])


@settings(max_examples=300)
@given(data=st.data())
def test_two_replicas_never_both_hold(data: st.DataObject) -> None:
    time, server = [0.0], Server()
    losses = data.draw(st.sets(st.integers(0, 40), max_size=6), "answers that are lost")
    lost = (number in losses for number in itertools.count())
    replicas = [
        Replica(name, server, time, data.draw(st.floats(-1e6, 1e6), "clock"), data.draw(TERMS_OF_REPLICAS), lost)
        for name in ("a", "b", "c")
    ]
    running = [replica.steps() for replica in replicas]
    moves = st.tuples(st.integers(0, 2), st.integers(1, 8), st.sampled_from([0.0, 0.1, 1.0, 3.0, 7.0, 16.0, 60.0]))
    for which, steps, pause in data.draw(st.lists(moves, min_size=20, max_size=60)):
        for _ in range(steps):
            next(running[which])
            assert sum(replica.holds() for replica in replicas) <= 1
        time[0] += pause
    assert sum(replica.holds() for replica in replicas) <= 1
