"""The stages of a Pod's start are read off a stream of objects."""

import json
from pathlib import Path

from e2e.lab import demonstration, timeline
from e2e.lab.paths import Paths


def test_documents_come_one_by_one_as_kubectl_prints_them() -> None:
    objects = [{"a": {"b": 1}}, {"c": "}\n{"}]
    printed = "".join(json.dumps(thing, indent=4) + "\n" for thing in objects)
    assert list(timeline.documents(iter(printed.splitlines(keepends=True)))) == objects


def test_times_count_from_the_binding_and_each_stage_counts_once(tmp_path: Path) -> None:
    seen = timeline.Timeline(Paths(tmp_path, tmp_path, tmp_path), "demo")
    pod = {"metadata": {"uid": "u"}, "spec": {}, "status": {"phase": "Pending"}}
    seen._pod(pod, 10.0)
    seen._pod({**pod, "spec": {"nodeName": "vch"}}, 11.0)
    seen._event({"reason": timeline.CLONED, "involvedObject": {"uid": "u"}}, 11.5)
    for now in (13.0, 14.0):
        seen._pod({**pod, "spec": {"nodeName": "vch"}, "status": {"phase": "Running"}}, now)
    times = seen.pods["u"]
    assert times.after_binding(timeline.CLONED) == 0.5
    assert times.after_binding(timeline.RUNNING) == 2.0
    assert times.after_binding(timeline.READY) is None


def test_a_table_lines_up() -> None:
    assert demonstration.table([("POD", "IP"), ("a-long-name", "10.0.0.1")]).splitlines() == [
        "POD          IP      ",
        "a-long-name  10.0.0.1",
    ]
