"""The Go modules: the simulator's own checks and tests. The others are upstream's programs with a main of ours."""

import subprocess
from pathlib import Path

import pytest

SIMULATOR = Path(__file__).resolve().parents[1] / "simulator"


@pytest.mark.timeout(1800)
def test_the_simulators_go_tests_pass() -> None:
    done = subprocess.run([SIMULATOR / "build.sh", "test"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-20_000:]
