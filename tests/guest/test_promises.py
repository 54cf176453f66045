"""Promises that are kept by what the agent's source does not contain."""

import ast
import sys
from pathlib import Path

import pytest
import vch_agent

SOURCES = sorted(Path(vch_agent.__file__).parent.glob("*.py"))


def _imports(source: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_only_the_standard_library_is_imported(source: Path) -> None:
    assert _imports(source) <= sys.stdlib_module_names


def test_what_runs_in_the_parent_knows_no_tls() -> None:
    """An OpenSSL random generator seeded before the freeze would be the same in all clones."""
    assert {source.stem for source in SOURCES if "ssl" in _imports(source)} == {
        "keys",  # after the thaw
        "pod_vm",  # serve_provider, after the thaw
        "provider_port",
        "splice",
    }


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_every_module_says_what_it_is_and_stays_small(source: Path) -> None:
    text = source.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 250
