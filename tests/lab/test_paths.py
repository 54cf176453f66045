"""Laboratories of one checkout, side by side."""

from pathlib import Path

from e2e.lab.paths import Paths


def test_a_laboratory_beside_another_shares_nothing_but_checkout_and_cache(tmp_path: Path) -> None:
    ours = Paths(checkout=tmp_path, cache=tmp_path / "cache", run=tmp_path / ".run")
    other = ours.beside("gw0")
    assert (other.checkout, other.cache) == (ours.checkout, ours.cache)
    assert len({(each.run, each.state, each.namespace) for each in (ours, other, ours.beside("gw1"))}) == 3


def test_those_that_left_a_trace_are_found(tmp_path: Path) -> None:
    ours = Paths(checkout=tmp_path, cache=tmp_path / "cache", run=tmp_path / ".run")
    ours.beside("gw1").run.mkdir()
    assert ours.all() == [ours, ours.beside("gw1")]
