"""The judge of the test of high availability: it must see a late write, or its silence proves nothing."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from e2e.tests import audit_log

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def make_entry(second: float, replica: str, resource: str = "leases", name: str = "vch-a", **fields: object) -> dict:
    received = BEGAN + timedelta(seconds=second)
    return {
        "verb": "update",
        "userAgent": f"virtual-kubelet-vch/{replica}",
        "user": {"username": "operator"},
        "objectRef": {"resource": resource, "name": name},
        "responseStatus": {"code": 200},
        "requestReceivedTimestamp": received.isoformat(),
        "stageTimestamp": (received + timedelta(milliseconds=10)).isoformat(),
        **fields,
    }


def late(tmp_path: Path, *entries: dict) -> list[str]:
    """The writes on Nodes that are no holder's."""
    log = tmp_path / "audit.log"
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    writes = audit_log.writes(log, since=BEGAN)
    held = audit_log.tenures(writes, "vch-a")
    return [write.replica for write in audit_log.outside([w for w in writes if w.resource == "nodes"], held)]


def test_a_holder_may_write(tmp_path: Path) -> None:
    assert late(tmp_path, make_entry(1, "one"), make_entry(2, "one", "nodes"), make_entry(9, "one", "nodes")) == []


def test_a_write_after_another_has_taken_over_is_late(tmp_path: Path) -> None:
    entries = [make_entry(1, "one"), make_entry(20, "two"), make_entry(21, "one", "nodes")]
    assert late(tmp_path, *entries) == ["one"]
    assert late(tmp_path, *entries, make_entry(22, "two", "nodes"), make_entry(3, "one", "nodes")) == ["one"]


def test_a_write_of_a_replica_that_never_held_is_late(tmp_path: Path) -> None:
    assert late(tmp_path, make_entry(1, "one"), make_entry(2, "two", "nodes")) == ["two"]


def test_what_was_refused_or_only_read_or_is_somebody_elses_does_not_count(tmp_path: Path) -> None:
    refused: dict = {"responseStatus": {"code": 409}}
    entries = [
        make_entry(1, "one"),
        make_entry(2, "two", **refused),
        make_entry(3, "two", "nodes", **refused),
        make_entry(4, "two", "nodes", verb="get"),
        make_entry(5, "two", "nodes", userAgent="kubectl"),
    ]
    assert late(tmp_path, *entries) == []
