"""Programs that outlive their starter are found again and ended, and nobody else's are."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest

from e2e.lab import process
from e2e.lab.errors import LabError

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def start(tmp_path: Path, *argv: str) -> process.Process:
    return process.start("program", argv, log=tmp_path / "log", namespace=None)


def test_a_program_is_ended_politely(tmp_path: Path) -> None:
    running = start(tmp_path, "sleep", "600")
    assert process.alive(running)
    assert process.stop(running, timeout=10)
    assert not process.alive(running)


def test_a_deaf_program_is_ended_with_force(tmp_path: Path) -> None:
    running = start(tmp_path, sys.executable, "-c", DEAF)
    process.wait_ready(running, lambda: "up" in (tmp_path / "log").read_text(), timeout=20)
    assert not process.stop(running, timeout=0.2)
    assert not process.alive(running)


def test_another_process_with_the_same_id_is_left_alone(tmp_path: Path) -> None:
    running = start(tmp_path, "sleep", "600")
    stale = dataclasses.replace(running, start_time=running.start_time - 1)
    assert not process.alive(stale)
    assert process.stop(stale)
    process.kill(stale)
    assert process.alive(running)
    process.kill(running)


def test_a_program_that_dies_before_it_is_ready_is_reported_with_its_log(tmp_path: Path) -> None:
    running = start(tmp_path, "sh", "-c", "echo no such flag; sleep 0.2; exit 1")
    with pytest.raises(LabError, match="no such flag"):
        process.wait_ready(running, lambda: False, timeout=20)


def test_a_program_in_its_own_session_survives_its_starter(tmp_path: Path) -> None:
    running = start(tmp_path, "sleep", "600")
    assert os.getsid(running.pid) == running.pid
    process.kill(running)
