"""Every dashboard can be imported as it is, says what it shows, and asks only valid questions."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.lab import queries

BOARDS = {path.stem: queries.dashboard(path) for path in queries.DASHBOARDS}
BUILT_IN = {"__rate_interval": "5m", "__range": "1h", "__interval": "1m"}
EVERY_BOARD = {"datasource", "cluster", "vch"}

each_board = pytest.mark.parametrize("name", BOARDS)


def variables(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def test_all_five_are_there_each_with_an_id_of_its_own() -> None:
    assert {name: board["uid"] for name, board in BOARDS.items()} == {name: f"vch-{name}" for name in BOARDS}
    assert BOARDS.keys() == {"overview", "pod-startup", "vcenter", "virtual-node", "operator"}


@each_board
def test_it_is_found_and_linked_by_its_tags(name: str) -> None:
    board = BOARDS[name]
    assert board["title"].startswith("VCH / ")
    assert board["tags"] == ["vch", "virtual-kubelet"]
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == ("dashboards", ["vch"], True, True)


@each_board
def test_its_crosshair_is_shared_and_it_is_refreshed(name: str) -> None:
    assert (BOARDS[name]["graphTooltip"], BOARDS[name]["refresh"]) == (1, "30s")
    assert "id" not in BOARDS[name], "the number is that of one Grafana's database"


@each_board
def test_its_data_source_is_a_variable(name: str) -> None:
    board = BOARDS[name]
    assert variables(board)["datasource"]["type"] == "datasource"
    everywhere = json.dumps(board)
    assert set(re.findall(r'"type": "prometheus", "uid": "([^"]*)"', everywhere)) == {"${datasource}"}


@each_board
def test_each_variable_is_there_and_used(name: str) -> None:
    board = BOARDS[name]
    told = variables(board)
    assert told.keys() >= EVERY_BOARD
    text = json.dumps([board["panels"], [variable.get("query") for variable in told.values()]])
    used = set(re.findall(r"\$\{?(\w+)", text)) - BUILT_IN.keys()
    assert used == told.keys()


@each_board
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    board = BOARDS[name]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@each_board
def test_each_panel_says_what_it_shows_and_in_which_unit(name: str) -> None:
    for panel in queries.panels(BOARDS[name]):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["type"] != "graph", "panels are of the kinds that Grafana still has"


@each_board
def test_rates_are_over_what_grafana_finds_right(name: str) -> None:
    """`$__interval` may be shorter than the time between two scrapes."""
    for query in queries.of_dashboard(BOARDS[name]):
        assert "$__interval" not in query.expression, query.where
        if re.search(r"\b(?:rate|increase|changes)\(", query.expression):
            assert re.search(r"\[(?:\$__rate_interval|\$__range|1h)\]", query.expression), query.where


@each_board
def test_series_are_narrowed_down_to_the_cluster(name: str) -> None:
    """Where one Prometheus has several clusters, another one's are not summed up with these."""
    for query in queries.of_dashboard(BOARDS[name]):
        for selector in queries.selectors(query.expression):
            assert 'cluster=~"$cluster"' in selector.matchers, f"{query.where}: {selector}"


@each_board
def test_its_queries_are_valid(name: str, tmp_path: Path) -> None:
    """promtool reads rules: each query is made one, named by its number."""
    board = BOARDS[name]
    values = {**BUILT_IN, **dict.fromkeys(variables(board), ".*")}
    rules = [
        {"record": f"query:{number}", "expr": queries.filled_in(query.expression, values)}
        for number, query in enumerate(queries.of_dashboard(board))
    ]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": name, "rules": rules}]}))
    argv = ["promtool", "check", "rules", "--lint-fatal", str(tmp_path / "queries.yaml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
