"""What runs is remembered for whoever comes next."""

from pathlib import Path

from e2e.lab import ports
from e2e.lab.paths import Paths
from e2e.lab.state import State


def paths(tmp_path: Path) -> Paths:
    return Paths(checkout=tmp_path, cache=tmp_path / "cache", run=tmp_path / ".run")


def test_another_process_finds_what_was_started(tmp_path: Path) -> None:
    first = State(paths(tmp_path))
    first.remember(port=1234)
    started = first.start("sleeper", ["sleep", "600"])
    second = State.load(paths(tmp_path))
    assert second.facts == {"port": 1234}
    assert second.running("sleeper") == started
    assert second.stop("sleeper")
    assert State.load(paths(tmp_path)).running("sleeper") is None


def test_what_runs_is_not_started_again(tmp_path: Path) -> None:
    state = State(paths(tmp_path))
    started = state.start("sleeper", ["sleep", "600"])
    assert state.start("sleeper", ["sleep", "600"]) == started
    state.stop("sleeper")


def test_laboratories_do_not_share_a_name(tmp_path: Path) -> None:
    here = paths(tmp_path)
    there = Paths(checkout=tmp_path / "other", cache=tmp_path, run=tmp_path / "other" / ".run")
    second = Paths(checkout=tmp_path, cache=tmp_path, run=tmp_path / "second")
    assert len({here.namespace, there.namespace, second.namespace}) == 3
    assert len(here.namespace) <= 15, "an interface may be named after it"


def test_free_ports_differ() -> None:
    assert len(set(ports.free(5))) == 5
