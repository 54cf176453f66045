"""What is expensive is made once, whole or not at all."""

import threading
from pathlib import Path

import pytest

from e2e.lab import cache


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "thing").write_text("x")

    first = cache.entry(tmp_path, "thing-1", make)
    assert cache.entry(tmp_path, "thing-1", make) == first
    assert (first / "thing").read_text() == "x"
    assert len(made) == 1


def test_what_failed_leaves_no_entry(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        cache.entry(tmp_path, "thing-1", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["thing-1.lock"]


def test_two_that_need_the_same_make_it_once(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    made: list[int] = []

    def make(_: Path) -> None:
        made.append(1)
        begun.set()
        go_on.wait(10)

    threads = [threading.Thread(target=cache.entry, args=(tmp_path, "thing-1", make)) for _ in range(2)]
    threads[0].start()
    assert begun.wait(10)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert made == [1]


def test_an_entry_in_place_is_made_again_unless_it_was_finished(tmp_path: Path) -> None:
    place = tmp_path / "venv-1"
    place.mkdir()
    (place / "half").touch()
    cache.entry_in_place(place, lambda folder: folder.mkdir())
    assert [path.name for path in place.iterdir()] == [".complete"]


def test_the_key_follows_the_content_of_files(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main")
    before = cache.key("x", tmp_path, "flags")
    assert cache.key("x", tmp_path, "flags") == before
    assert cache.key("x", tmp_path, "other flags") != before
    (tmp_path / "main.go").write_text("package main // changed")
    assert cache.key("x", tmp_path, "flags") != before
