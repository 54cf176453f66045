"""Figures that tests measure, printed together at the end of the run with what they were measured on."""

import os
from pathlib import Path


class Figures:
    """Lines of "what: how much"."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, what: str, how_much: str) -> None:
        self.lines.append(f"{what:72} {how_much}")

    def title(self) -> str:
        """Measured on what: a figure without that is none."""
        return f"figures (simulator, {os.cpu_count()} CPUs of {_cpu_model()}; not vSphere's)"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return "unknown model"
