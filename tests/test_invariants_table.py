"""`e2e/INVARIANTS.md` tells the truth: each test that it names exists, and no invariant is left out."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TABLE = Path(__file__).parents[1] / "e2e" / "INVARIANTS.md"
CONTRACT = [*range(1, 26), *range(30, 43), *range(50, 66)]
"""Those that must be in the table; others may be."""

_ROW = re.compile(r"^\| I-(\d\d) \| (.+) \| (.+) \| (.*) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^]]+)\]\(([^)]+)\)")

ROWS = {int(number): (what, proof, how) for number, what, proof, how in _ROW.findall(TABLE.read_text("utf-8"))}
LINKS = sorted({link for _, proof, _ in ROWS.values() for link in _LINK.findall(proof)})


@cache
def defined_in(path: Path) -> frozenset[str]:
    """The names of the tests of a file; nothing is run for that."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".go":
        return frozenset(re.findall(r"^func (Test\w+)\(", text, re.MULTILINE))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(each.name for each in ast.parse(text).body if isinstance(each, functions))


def test_no_invariant_is_left_out_or_told_twice() -> None:
    numbers = [int(each) for each in re.findall(r"^\| I-(\d\d) ", TABLE.read_text("utf-8"), re.MULTILINE)]
    assert numbers == sorted(set(numbers))
    assert set(CONTRACT) - set(numbers) == set()
    assert set(numbers) == ROWS.keys(), "a row has not four cells"


@pytest.mark.parametrize(("text", "target"), LINKS, ids=[text for text, _ in LINKS])
def test_each_test_that_is_named_exists(text: str, target: str) -> None:
    file, _, name = text.partition("::")
    path = TABLE.parent / target
    assert path.is_file()
    assert path.name == file
    assert name.lower().startswith("test")
    assert name in defined_in(path)


@pytest.mark.parametrize("number", ROWS)
def test_each_row_has_a_proof_and_how_it_is_judged_or_says_that_it_has_none(number: int) -> None:
    _, proof, how = ROWS[number]
    if _LINK.search(proof):
        assert how
    else:
        assert re.search("not proven yet|does not apply", proof, re.IGNORECASE)
