"""Each alert fires when it has to and not otherwise, says what a person needs, and has a runbook."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.lab import queries

CASES: dict[str, Any] = yaml.load((Path(__file__).parent / "alert_cases.yaml").read_text("utf-8"), yaml.BaseLoader)
"""All strings: 0x30 is no number here."""

ALERTS = {rule["alert"]: rule for rule in queries.alerts()}
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]

QUIET = [(alert, what) for alert, cases in CASES.items() for what in cases["quiet"]]


def promtool(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def play(folder: Path, alert: str, case: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    """Lets promtool see the series of a case and compare the alerts that fire at its end."""
    series = [{"series": name, "values": values} for name, values in case["series"].items()]
    test = {"eval_time": case["at"], "alertname": alert, "exp_alerts": expected}
    tests = [{"interval": "1m", "input_series": series, "alert_rule_test": [test]}]
    written = {"rule_files": [str(path) for path in queries.RULES], "evaluation_interval": "1m", "tests": tests}
    (folder / "case.yaml").write_text(yaml.safe_dump(written))
    promtool("test", "rules", "case.yaml", cwd=folder)


def test_the_rules_are_valid(tmp_path: Path) -> None:
    promtool("check", "rules", "--lint-fatal", *map(str, queries.RULES), cwd=tmp_path)


@pytest.mark.parametrize("alert", CASES)
def test_it_fires(alert: str, tmp_path: Path) -> None:
    case, rule = CASES[alert]["fires"], ALERTS[alert]
    labels = {**case["labels"], "severity": rule["labels"]["severity"]}
    told = {**rule["annotations"], "description": case["description"]}
    play(tmp_path, alert, case, [{"exp_labels": labels, "exp_annotations": told}])


@pytest.mark.parametrize(("alert", "what"), QUIET, ids=[f"{alert}: {what}" for alert, what in QUIET])
def test_it_does_not_fire_when(alert: str, what: str, tmp_path: Path) -> None:
    play(tmp_path, alert, CASES[alert]["quiet"][what], [])


def test_alerts_runbooks_and_cases_belong_together() -> None:
    assert len(ALERTS) == len(queries.alerts()), "two alerts have one name"
    assert CASES.keys() == ALERTS.keys()
    assert {path.stem for path in RUNBOOKS.glob("VCH*.md")} == ALERTS.keys()


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert "{{" not in rule["annotations"]["summary"], "a summary groups alerts: it is the same for all"
    assert rule["annotations"]["runbook_url"] == f"https://vch.dev/runbooks/{alert}"


@pytest.mark.parametrize("alert", ALERTS)
def test_a_runbook_has_the_usual_sections(alert: str) -> None:
    text = (RUNBOOKS / f"{alert}.md").read_text("utf-8")
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert re.findall(r"severity `(\w+)`", text) == [ALERTS[alert]["labels"]["severity"]]


def test_the_list_of_runbooks_is_complete() -> None:
    listed = re.findall(r"\]\((VCH\w+)\.md\)", (RUNBOOKS / "README.md").read_text("utf-8"))
    assert sorted(listed) == sorted(ALERTS)
