"""Time comes from `clock.Clock` alone, so that nothing that is waited for depends on the wall clock."""

import ast
from pathlib import Path

PROVIDER = Path(__file__).parents[1] / "provider"
MAY_LOOK = {"clock.py", "kubelet/scrape.py", "metrics/vcenter.py"}
"""The clock itself; and what only tells when something was: the date of a scrape's answer, of vCenter's last word."""


def test_nobody_else_looks_at_the_wall_clock() -> None:
    looking = set()
    for path in PROVIDER.rglob("*.py"):
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(each, ast.Call) and ast.unparse(each.func) in _WALL:
                looking.add(str(path.relative_to(PROVIDER)))
    assert looking == MAY_LOOK


_WALL = {
    *(f"{module}.{call}" for module in ("datetime", "datetime.datetime") for call in ("now", "utcnow", "today")),
    *(f"time.{call}" for call in ("time", "time_ns", "localtime", "gmtime", "ctime")),
}
